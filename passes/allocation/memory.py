"""Budgets on peak memory: the largest of many sums over layers, of which few are ever near the limit.

Tensors are alive together during a step of the schedule, and their bytes add up. Each step could be a
budget; instead the problem is solved with none of them, steps that exceed the limit become metrics with a
budget, and it is solved again: the cutting planes of Dantzig, Fulkerson and Johnson (1954). No answer within
the limit at all steps is better than one that is optimal with some of them.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from hwmodels import Metric, Precision
from passes.allocation.budget import Budget
from passes.allocation.feasibility import InfeasibleBudgetError
from passes.analysis.cost import stored_bits
from passes.analysis.schedule import ActivationLives
from passes.analysis.workloads import Workloads
from passes.ir.setup import quantizer_setup

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from hwmodels import LiveTensor, Schedule
    from passes.allocation.allocation import Allocation
    from passes.allocation.problem import AllocationProblem
    from passes.api import PassContext
    from passes.ir.model import Model
    from passes.ir.tensor_groups import TensorGroup

    Solve = Callable[[AllocationProblem, Sequence[Budget]], Allocation]
    Solved = tuple[AllocationProblem, list[Budget], Allocation]

PEAK = Metric.PEAK_MEMORY.value


@dataclass(frozen=True, slots=True)
class LiveGroup:
    """The activations of one group, and what decides their width in memory.

    Attributes:
        reader: the layer whose activation bits count, which all readers share; ``None`` where none reads.
        stored: bits in memory by activation bits; those that none reads have one entry.
    """

    reader: str | None
    stored: Mapping[int, int]


@dataclass(frozen=True, slots=True)
class MemoryBudget:
    """A limit on the bytes of activations that are alive at once.

    Attributes:
        schedule: of the network, every tensor in floating point.
        group: by name of a tensor, its group; others stay in floating point.
        limit: bytes.
    """

    schedule: Schedule
    group: Mapping[str, LiveGroup]
    limit: float

    @classmethod
    def of(cls, model: Model, ctx: PassContext, problem: AllocationProblem, limit: float) -> MemoryBudget:
        """Look at which activations of a model are alive when.

        Where readers of one tensor would store it at different widths, the widest counts.
        """
        lives = ctx.get(ActivationLives(), model)
        works = ctx.get(Workloads(), model)
        choices = {layer.name: [Precision(*it.pair) for it in layer.choices] for layer in problem.layers}

        def live(group: TensorGroup) -> LiveGroup:
            if not group.readers:
                return LiveGroup(None, {group.unread_bits: group.unread_bits})
            stored: dict[int, int] = defaultdict(int)
            for reader in group.readers:
                for pair in choices[reader]:
                    bits = stored_bits(replace(group, readers=(reader,)), works, {reader: pair}, ctx.target)
                    stored[pair.act_bits] = max(stored[pair.act_bits], bits)
            return LiveGroup(group.readers[0], stored)

        groups = {group.name: live(group) for group in quantizer_setup(model.graph, ctx.target).groups}
        return cls(lives.schedule, {tensor: groups[name] for tensor, name in lives.group.items()}, limit)

    def solve(self, problem: AllocationProblem, budgets: Sequence[Budget], solve: Solve) -> Solved:
        """Solve a problem within this budget and others; return it with the steps that counted.

        Args:
            problem: of the model.
            budgets: on metrics of the problem.
            solve: finds an allocation of a problem within budgets.

        Raises:
            InfeasibleBudgetError: the limit is less than what the narrowest activations take, or excluded by
                other budgets.
        """
        self._check_least(problem)
        limits = list(budgets)
        while True:
            try:
                found = solve(problem, limits)
            except InfeasibleBudgetError as error:
                raise self._named(error) from error
            above = [at for at, size in enumerate(self._loads(problem, found)) if size > self.limit]
            if not above:
                return problem, limits, found
            problem = self._with_steps(problem, above)
            limits += [Budget(_metric(at), self.limit) for at in above]

    def _loads(self, problem: AllocationProblem, found: Allocation) -> list[int]:
        """Return the bytes alive at each step."""
        layers = zip(problem.layers, found.choices, strict=True)
        return self._at({layer.name: layer.choices[index].act_bits for layer, index in layers})

    def _at(self, act_bits: Mapping[str, int]) -> list[int]:
        bits = {name: _width(group, act_bits) for name, group in self.group.items()}
        return self.schedule.with_bits(bits).loads()

    def _check_least(self, problem: AllocationProblem) -> None:
        """Narrow activations are never worse here: the least is that of the fewest bits everywhere."""
        shared: dict[str, set[int]] = {
            layer.name: {it.act_bits for it in layer.choices} for layer in problem.layers
        }
        for tie in problem.act_ties:
            common = set.intersection(*(shared[name] for name in tie))
            shared |= dict.fromkeys(tie, common)
        least = max(self._at({name: min(bits) for name, bits in shared.items()}), default=0)
        if least > self.limit:
            raise InfeasibleBudgetError(
                f"no choice meets the budgets; {PEAK}: the limit is {self.limit:.9g}, "
                f"the least that is feasible is {least:.9g}",
                {PEAK: float(least)},
            )

    def _with_steps(self, problem: AllocationProblem, steps: Sequence[int]) -> AllocationProblem:
        """Return the problem with one more metric for each step: what is alive then."""
        layers, fixed = list(problem.layers), dict(problem.fixed)
        alive = self.schedule.alive(steps)
        for at in steps:
            decided: dict[str, list[LiveTensor]] = defaultdict(list)
            for tensor in alive[at]:
                group = self.group.get(tensor.name)
                decided[(group.reader if group else None) or ""].append(tensor)
            fixed[_metric(at)] = float(sum(self._bytes(tensor, {}) for tensor in decided.pop("", ())))
            for index, layer in enumerate(layers):
                tensors = decided.get(layer.name, ())
                choices = []
                for it in layer.choices:
                    size = sum(self._bytes(tensor, {layer.name: it.act_bits}) for tensor in tensors)
                    choices.append(replace(it, cost={**it.cost, _metric(at): float(size)}))
                layers[index] = replace(layer, choices=tuple(choices))
        return replace(problem, layers=tuple(layers), fixed=fixed)

    def _bytes(self, tensor: LiveTensor, act_bits: Mapping[str, int]) -> int:
        group = self.group.get(tensor.name)
        return (replace(tensor, bits=_width(group, act_bits)) if group else tensor).size_bytes

    def _named(self, error: InfeasibleBudgetError) -> InfeasibleBudgetError:
        """Speak of memory, not of steps."""
        message, least = str(error), dict(error.least)
        for at in range(len(self.schedule.steps) - 1, -1, -1):
            message = message.replace(_metric(at), f"{PEAK} in step {at + 1} of the network")
            if _metric(at) in least:
                least[PEAK] = max(least.pop(_metric(at)), least.get(PEAK, 0.0))
        return InfeasibleBudgetError(message, least)


def _metric(step: int) -> str:
    return f"{PEAK}@{step}"


def _width(group: LiveGroup, act_bits: Mapping[str, int]) -> int:
    if group.reader is None:
        return next(iter(group.stored.values()))
    return group.stored[act_bits[group.reader]]
