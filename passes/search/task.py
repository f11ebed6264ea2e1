"""`SearchTask`: what is searched, for what, and within which limits."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from math import fsum, inf, isfinite
from typing import TYPE_CHECKING, Protocol

from passes.allocation.evaluate import cheapest, evaluate
from passes.allocation.memory import PEAK
from passes.allocation.problem import LOSS
from passes.errors import UsageError
from passes.search.point import MEASURED, Evaluation, Point, loss_of
from passes.search.space import SearchSpace

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from passes.allocation.allocation import Allocation
    from passes.allocation.budget import Budget
    from passes.allocation.memory import MemoryBudget, Solve
    from passes.allocation.problem import AllocationProblem
    from passes.analysis.pairwise import PairTable
    from passes.search.point import Choices


class Knowledge(Protocol):
    """What solvers may ask about a model beyond its problem; each answer costs some passes over data."""

    def with_losses(self, sensitivity: str) -> AllocationProblem:
        """Return the same problem with the losses of another sensitivity."""
        ...

    def pairs(self, bits: Sequence[int]) -> PairTable:
        """Return how pairs of weights interact at the given widths."""
        ...

    def features(self) -> NDArray[np.float64]:
        """Return what describes each layer, shape (layers, features)."""
        ...

    def price(self, choices: Choices) -> Mapping[str, float]:
        """Return the costs of a plan that are no sums over its layers."""
        ...

    def memory(self, limit: float) -> MemoryBudget:
        """Return a budget on peak memory, in bytes, that solvers of single budgets can be held to."""
        ...


@dataclass(frozen=True)
class SearchTask:
    """A problem whose loss is measured.

    Attributes:
        problem: layers, choices and costs; its losses are estimates that solvers may use.
        objectives: all minimised; ``loss``, which is measured, first, then costs.
        budgets: limits on costs, and on the measured ``loss``.
        float_value: metric of the float model.
        samples: number of samples of a whole measurement.
        loss_reference: loss from which on a plan counts for nothing in the hypervolume.
        not_summed: objectives and budgets that are no sums over layers.
        float_seconds: that the float model takes for a sample: what a measured latency is judged by.
        knowledge: of the model; ``None`` for a problem without one.

    Raises:
        UsageError: ``loss`` is not the first objective, or no cost is one.
    """

    problem: AllocationProblem
    objectives: tuple[str, ...]
    budgets: tuple[Budget, ...] = ()
    float_value: float = 1.0
    samples: int = 0
    loss_reference: float = 0.1
    not_summed: frozenset[str] = frozenset()
    float_seconds: float = 1.0
    knowledge: Knowledge | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        """Check the objectives."""
        if self.objectives[:1] != (LOSS,) or len(self.objectives) < 2:
            found = ", ".join(self.objectives) or "nothing"
            raise UsageError(f"objectives: expected loss and then one cost or more, found {found}")

    @cached_property
    def space(self) -> SearchSpace:
        """The plans that there are."""
        return SearchSpace(self.problem)

    def point(self, choices: Choices, evaluation: Evaluation) -> Point:
        """Return what is known about a plan that was measured."""
        estimate, costs = evaluate(self.problem, choices)
        if self.not_summed and self.knowledge is not None:
            costs |= self.knowledge.price(choices)
        if MEASURED in self.objectives:
            costs[MEASURED] = evaluation.seconds if isfinite(evaluation.seconds) else inf
        loss = loss_of(evaluation, self.float_value)
        used = costs | {LOSS: loss}
        excess = fsum(_excess(used[budget.metric], budget.limit) for budget in self.budgets)
        whole = evaluation.samples >= self.samples
        return Point(choices, evaluation, loss, costs, estimate, excess, whole)

    def costs(self, choices: Choices) -> dict[str, float]:
        """Return the objectives of a plan that need no measurement."""
        blank = self.point(choices, Evaluation(0.0, 0))
        return {name: blank.get(name) for name in self.objectives[1:]}

    @cached_property
    def reference(self) -> tuple[tuple[float, float], ...]:
        """Per objective, the best and the worst value that counts: what the hypervolume is scaled by."""
        dearest = self.costs(self.space.widest())
        ranges = [(0.0, self.loss_reference)]
        for name in self.objectives[1:]:
            if name == MEASURED:
                ranges.append((0.0, max(self.float_seconds, 1e-30)))
                continue
            low = 0.0 if name in self.not_summed else cheapest(self.problem, name)
            ranges.append((low, max(dearest[name], low * (1 + 1e-9), 1e-30)))
        return tuple(ranges)

    def knows(self, solver: str) -> Knowledge:
        """Return what is known of the model.

        Raises:
            UsageError: there is no model; names the solver that needs one.
        """
        if self.knowledge is None:
            raise UsageError(f"solver {solver} asks about the model, and this problem has none")
        return self.knowledge

    def check_sums(self, solver: str, *, budgets: bool = True) -> None:
        """Refuse what cannot be summed over layers, for a solver that sums.

        Args:
            solver: its name.
            budgets: whether budgets have to be sums, too; not for solvers that ask `within_memory`.

        Raises:
            UsageError: an objective or a budget is no sum; names both.
        """
        only_limited = {budget.metric for budget in self.budgets} - set(self.objectives)
        for name in sorted(self.not_summed if budgets else self.not_summed - only_limited):
            raise UsageError(
                f"solver {solver} adds costs up over layers, and {name} is no such sum; "
                f"take {'sweep, ' if name in only_limited else ''}nsga2, amed, annealing or random"
            )

    def within_memory(
        self, problem: AllocationProblem, budgets: Sequence[Budget], solve: Solve
    ) -> Allocation:
        """Solve for single budgets on sums, and within the budget on peak memory where there is one.

        Args:
            problem: of the same layers and choices as the task's.
            budgets: on metrics of the problem.
            solve: finds an allocation of a problem within budgets.

        Raises:
            InfeasibleBudgetError: as `solve`, or the memory is too little.
        """
        if self._memory is None:
            return solve(problem, budgets)
        _, _, found = self._memory.solve(problem, budgets, solve)
        return found

    @cached_property
    def _memory(self) -> MemoryBudget | None:
        limits = [budget.limit for budget in self.budgets if budget.metric == PEAK]
        return self.knows("of single budgets").memory(min(limits)) if limits else None


def _excess(used: float, limit: float) -> float:
    return max(used - limit, 0.0) / max(abs(limit), 1e-12)
