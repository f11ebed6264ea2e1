"""OMPQ: widths by orthogonality of features, at many budgets [Ma et al. 2023, arXiv 2109.07865].

The paper's linear program maximises the sum of bits times importance within a size. Its optimum has at most
one layer of a fractional width, which is then rounded; here the same objective is solved in whole widths, and
so never worse. Importances come from one run of the float model (`passes.analysis.orthogonality`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING

from passes.allocation.ilp import Ilp
from passes.search.budgets import BudgetSweep

if TYPE_CHECKING:
    import numpy as np

    from passes.allocation.solver import Solver
    from passes.search.solver import Proposals
    from passes.search.task import SearchTask


@dataclass(frozen=True, slots=True)
class Ompq:
    """One plan per budget, by orthogonality alone; measurements are not looked at.

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
            UsageError: a cost is no sum over layers, or there is no model to run.
        """
        del rng
        task.check_sums("ompq")
        problem = task.knows("ompq").with_losses("ompq")
        plans = BudgetSweep(task, problem, self.solver, self.time_limit_s).plans(self.budgets)
        while batch := list(islice(plans, self.batch)):
            yield batch
