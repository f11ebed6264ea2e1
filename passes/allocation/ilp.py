"""The exact solver: the best choice there is, with a proof."""

from __future__ import annotations

from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING, ClassVar

from passes.allocation.allocation import make_allocation
from passes.allocation.compiled import compile_problem
from passes.allocation.core import make_core
from passes.allocation.exact import least_uses, minimise
from passes.allocation.feasibility import check_each_budget

if TYPE_CHECKING:
    from collections.abc import Sequence

    from passes.allocation.allocation import Allocation
    from passes.allocation.budget import Budget
    from passes.allocation.problem import AllocationProblem


@dataclass(frozen=True, slots=True)
class Ilp:
    """Integer linear programming, as HAWQ-V3 (section 3.4) states the problem, for any number of budgets."""

    name: ClassVar[str] = "ilp"

    def solve(
        self,
        problem: AllocationProblem,
        budgets: Sequence[Budget],
        *,
        minimize: str = "loss",
        seed: int = 0,
        time_limit_s: float = 60.0,
    ) -> Allocation:
        """Return the choice of least objective within the budgets.

        The same input gives the same answer; `seed` is not used. Out of time, the best choice known is
        returned with status ``feasible`` and a bound that is still proven.

        Raises:
            UsageError: a metric that the problem does not have.
            InfeasibleBudgetError: no choice meets the budgets.
        """
        deadline = monotonic() + time_limit_s
        compiled = compile_problem(problem)
        core = make_core(compiled, budgets, minimize)
        check_each_budget(core, least_uses(core, deadline))
        found = minimise(core, deadline)
        choices = compiled.choices(core.option[found.taken])
        return make_allocation(problem, choices, minimize, bound=found.bound, proven=found.proven)
