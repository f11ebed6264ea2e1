"""The baseline: give up precision step by step where it costs least, then spend what is left."""

from __future__ import annotations

from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from passes.allocation.allocation import make_allocation
from passes.allocation.compiled import compile_problem
from passes.allocation.core import make_core
from passes.allocation.descent import descend
from passes.allocation.exact import find_feasible, least_uses, minimise
from passes.allocation.feasibility import check_each_budget
from passes.allocation.rounding import fill

if TYPE_CHECKING:
    from collections.abc import Sequence

    from passes.allocation.allocation import Allocation
    from passes.allocation.budget import Budget
    from passes.allocation.problem import AllocationProblem


@dataclass(frozen=True, slots=True)
class Greedy:
    """Steepest descent from the choice of least objective into the budgets, then a fill-up."""

    name: ClassVar[str] = "greedy"

    def solve(
        self,
        problem: AllocationProblem,
        budgets: Sequence[Budget],
        *,
        minimize: str = "loss",
        seed: int = 0,
        time_limit_s: float = 60.0,
    ) -> Allocation:
        """Return a choice within the budgets.

        The bound is the least objective without budgets. Where the descent runs into a corner, which takes
        several budgets, a feasible choice is searched exactly. The same input gives the same answer; `seed`
        is not used.

        Raises:
            UsageError: a metric that the problem does not have.
            InfeasibleBudgetError: no choice meets the budgets.
        """
        deadline = monotonic() + time_limit_s
        compiled = compile_problem(problem)
        core = make_core(compiled, budgets, minimize)
        check_each_budget(core, least_uses(core, deadline))
        best = minimise(core.without_budgets(core.value), deadline)
        taken = descend(core, compiled.weight_bits[core.option], best.taken)
        if taken is None:
            taken = find_feasible(core, deadline)
        taken = fill(core, taken)
        choices = compiled.choices(core.option[taken])
        proven = best.proven and bool(np.array_equal(taken, best.taken))
        return make_allocation(problem, choices, minimize, bound=best.bound, proven=proven)
