"""The `Solver` protocol and the solvers there are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from passes.allocation.greedy import Greedy
from passes.allocation.ilp import Ilp
from passes.errors import unknown_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from passes.allocation.allocation import Allocation
    from passes.allocation.budget import Budget
    from passes.allocation.problem import AllocationProblem


class Solver(Protocol):
    """Picks one choice per layer."""

    @property
    def name(self) -> str:
        """Name on the command line."""
        ...

    def solve(
        self,
        problem: AllocationProblem,
        budgets: Sequence[Budget],
        *,
        minimize: str = "loss",
        seed: int = 0,
        time_limit_s: float = 60.0,
    ) -> Allocation:
        """Minimise ``loss`` or a cost metric within budgets on any of them.

        Args:
            problem: layers, choices and ties.
            budgets: all are to be met: ``used <= limit * (1 + 1e-12)`` in exact sums; may be empty.
            minimize: ``loss`` or a cost metric.
            seed: of every random choice.
            time_limit_s: wall-clock seconds, after which the best choice known is returned.

        Raises:
            UsageError: a metric that the problem does not have.
            InfeasibleBudgetError: no choice meets the budgets.
        """
        ...


SOLVERS: tuple[Solver, ...] = (Ilp(), Greedy())


def solver(name: str) -> Solver:
    """Return the solver of that name.

    Raises:
        UsageError: there is none; names the nearest.
    """
    for known in SOLVERS:
        if known.name == name:
            return known
    raise unknown_name("solver", name, [known.name for known in SOLVERS])
