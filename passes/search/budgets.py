"""Plans of least estimated loss at many budgets, for solvers that find one plan per budget."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from itertools import chain, zip_longest
from typing import TYPE_CHECKING

from passes.allocation.budget import Budget
from passes.allocation.feasibility import InfeasibleBudgetError
from passes.allocation.ilp import Ilp
from passes.allocation.memory import PEAK
from passes.allocation.problem import LOSS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from passes.allocation.allocation import Allocation
    from passes.allocation.problem import AllocationProblem
    from passes.allocation.solver import Solver
    from passes.search.point import Choices
    from passes.search.task import SearchTask

FINE = 1e-3
"""Share of the range of a cost below which two budgets are not told apart."""
FEASIBLE_S = 10.0
"""For finding out whether budgets can be met."""


@dataclass(frozen=True, slots=True)
class BudgetSweep:
    """Finds the plans of least summed loss, budget by budget.

    Attributes:
        task: for objectives, their ranges and the budgets; those on costs hold besides, peak memory included.
        problem: with the losses to add up.
        solver: for one budget.
        time_limit_s: for every budget.
    """

    task: SearchTask
    problem: AllocationProblem
    solver: Solver
    time_limit_s: float

    def plans(self, count: int) -> Iterator[Choices]:
        """Yield different plans, the costs that are objectives taking turns.

        Args:
            count: budgets per objective, at most.
        """
        spans = zip(self.task.objectives[1:], self.task.reference[1:], strict=True)
        sweeps = [self._sweep(name, span, count) for name, span in spans]
        seen: set[Choices] = set()
        for choices in chain.from_iterable(zip_longest(*sweeps)):
            if choices is not None and choices not in seen:
                seen.add(choices)
                yield choices

    def _sweep(self, name: str, span: tuple[float, float], count: int) -> Iterator[Choices]:
        """Halve the widest ranges of one cost that lie between two plans.

        A plan is the best one for every budget from its own cost up to the budget that it was found at, so
        that there is nothing to find in between.
        """
        limits = [budget.limit for budget in self.task.budgets if budget.metric == name]
        low, high = span[0], min(span[1], *limits, float("inf"))
        ranges = deque([(low, high)])
        for end in (high, low)[:count]:
            found = self._solve(name, end)
            if found is not None:
                yield found.choices
        for _ in range(count - 2):
            if not ranges:
                return
            low, high = ranges.popleft()
            limit = (low + high) / 2
            found = self._solve(name, limit)
            if found is not None:
                yield found.choices
            parts = [(limit, high)] if found is None else [(low, found.cost[name]), (limit, high)]
            ranges += [part for part in parts if part[1] - part[0] > FINE * (span[1] - span[0])]

    def _solve(self, name: str, limit: float) -> Allocation | None:
        others = [budget for budget in _on_sums(self.task) if budget.metric != name]

        def solve(problem: AllocationProblem, budgets: Sequence[Budget]) -> Allocation:
            return self.solver.solve(problem, budgets, time_limit_s=self.time_limit_s)

        try:
            return self.task.within_memory(self.problem, [Budget(name, limit), *others], solve)
        except InfeasibleBudgetError:
            return None


def check_budgets(task: SearchTask) -> None:
    """Refuse budgets on costs that no plan meets, before anything is measured.

    Raises:
        InfeasibleBudgetError: names the least that is feasible.
    """
    limits = _on_sums(task)

    def solve(problem: AllocationProblem, budgets: Sequence[Budget]) -> Allocation:
        goal = limits[0].metric if limits else LOSS
        return Ilp().solve(problem, budgets, minimize=goal, time_limit_s=FEASIBLE_S)

    if task.budgets:
        task.within_memory(task.problem, limits, solve)


def _on_sums(task: SearchTask) -> list[Budget]:
    """Return the budgets that solvers of single budgets can be given."""
    return [budget for budget in task.budgets if budget.metric not in (LOSS, PEAK)]
