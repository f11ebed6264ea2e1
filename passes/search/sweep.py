"""The exact solver at many budgets; what it finds is measured."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING

from passes.allocation.ilp import Ilp
from passes.search.budgets import BudgetSweep

if TYPE_CHECKING:
    import numpy as np

    from passes.allocation.problem import AllocationProblem
    from passes.allocation.solver import Solver
    from passes.search.solver import Proposals
    from passes.search.task import SearchTask


@dataclass(frozen=True, slots=True)
class Sweep:
    """One plan per budget, each of least estimated loss.

    Attributes:
        budgets: solved per objective, at most.
        solver: finds the plan of one budget.
        time_limit_s: for one budget.
        batch: plans proposed at once.
    """

    budgets: int = 400
    solver: Solver = field(default_factory=Ilp)
    time_limit_s: float = 2.0
    batch: int = 8

    def propose(self, task: SearchTask, rng: np.random.Generator) -> Proposals:
        """Propose plans, halving the gaps between budgets.

        Raises:
            UsageError: an objective is no sum over layers.
        """
        del rng
        plans = BudgetSweep(task, self.problem(task), self.solver, self.time_limit_s).plans(self.budgets)
        while batch := list(islice(plans, self.batch)):
            yield batch

    def problem(self, task: SearchTask) -> AllocationProblem:
        """Return what is solved within every budget."""
        task.check_sums("sweep", budgets=False)
        return task.problem
