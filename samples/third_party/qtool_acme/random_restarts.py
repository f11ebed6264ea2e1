"""`RandomRestarts`: the greedy solver within budgets that are randomly tighter; the best answer counts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from passes.allocation import Allocation, AllocationProblem, Budget, solver
from passes.errors import InfeasibleError


@dataclass(frozen=True)
class RandomRestarts:
    """The best of several greedy answers, each within budgets that are randomly tighter.

    Attributes:
        starts: how many.
    """

    name: ClassVar[str] = "random-restarts"
    starts: int = 8

    def solve(
        self,
        problem: AllocationProblem,
        budgets: Sequence[Budget],
        *,
        minimize: str = "loss",
        seed: int = 0,
        time_limit_s: float = 60.0,
    ) -> Allocation:
        """Return a choice within the budgets; the same seed gives the same one."""
        rng, greedy = np.random.default_rng(seed), solver("greedy")

        def value(found: Allocation) -> float:
            return found.loss if minimize == "loss" else found.cost[minimize]

        best = greedy.solve(problem, budgets, minimize=minimize, time_limit_s=time_limit_s)
        for _ in range(self.starts):
            tighter = [Budget(budget.metric, budget.limit * rng.uniform(0.9, 1.0)) for budget in budgets]
            try:
                found = greedy.solve(problem, tighter, minimize=minimize, time_limit_s=time_limit_s)
            except InfeasibleError:
                continue
            # Best within tighter budgets proves nothing about those that were asked for.
            if value(found) < value(best):
                best = Allocation("feasible", minimize, found.loss, found.cost, best.bound, found.choices)
        return best
