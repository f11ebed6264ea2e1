"""The `Solver` protocol and the solvers there are."""

from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Protocol

from passes.allocation.greedy import Greedy
from passes.allocation.ilp import Ilp
from passes.errors import UsageError, unknown_name

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
"""The solvers that come with the package."""

ENTRY_POINTS = "qtool.solvers"
"""The group in which packages offer solvers: the name of the solver and a callable that makes it."""


def solver_names() -> tuple[str, ...]:
    """Return the names of all solvers, built-in ones first, without importing any.

    Raises:
        UsageError: two solvers have the same name.
    """
    return (*(known.name for known in SOLVERS), *sorted(_installed()))


def solver(name: str) -> Solver:
    """Return the solver of that name.

    Raises:
        UsageError: there is none, or an installed one cannot be used; names the nearest.
    """
    for known in SOLVERS:
        if known.name == name:
            return known
    installed = _installed()
    if name not in installed:
        raise unknown_name("solver", name, solver_names())
    return _from_entry_point(installed[name])


def _installed() -> dict[str, EntryPoint]:
    found: dict[str, EntryPoint] = {}
    for point in entry_points(group=ENTRY_POINTS):
        if point.name in found or point.name in {known.name for known in SOLVERS}:
            first = _origin(found[point.name]) if point.name in found else "the built-in solver"
            both = f"{first} and {_origin(point)}"
            raise UsageError(f"solver {point.name!r} is offered by {both}; uninstall one of them")
        found[point.name] = point
    return found


def _origin(point: EntryPoint) -> str:
    return f"{point.value} of {point.dist.name if point.dist else 'an unknown package'}"


def _from_entry_point(point: EntryPoint) -> Solver:
    try:
        found: Solver = point.load()()
    except (ImportError, AttributeError, SyntaxError, TypeError) as error:
        raise UsageError(f"solver {point.name!r}: {_origin(point)} cannot be loaded: {error}") from error
    if getattr(found, "name", None) != point.name or not callable(getattr(found, "solve", None)):
        raise UsageError(
            f"solver {point.name!r}: {_origin(point)} must make an object of that name with a method solve, "
            f"found {type(found).__name__}"
        )
    return found
