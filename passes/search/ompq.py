"""OMPQ: widths by orthogonality of features, at many budgets [Ma et al. 2023, arXiv 2109.07865].

The paper's linear program maximises the sum of bits times importance within a size. Its optimum has at most
one layer of a fractional width, which is then rounded; here the same objective is solved in whole widths, and
so never worse. Importances come from one run of the float model (`passes.analysis.orthogonality`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from passes.search.sweep import Sweep

if TYPE_CHECKING:
    from passes.allocation.problem import AllocationProblem
    from passes.search.task import SearchTask


@dataclass(frozen=True, slots=True)
class Ompq(Sweep):
    """A sweep over budgets by orthogonality alone; measurements are not looked at."""

    def problem(self, task: SearchTask) -> AllocationProblem:
        """Return the problem with losses by orthogonality.

        Raises:
            UsageError: an objective is no sum over layers, or there is no model to run.
        """
        task.check_sums("ompq", budgets=False)
        return task.knows("ompq").with_losses("ompq")
