"""From a model to a `SearchTask`: objectives and budgets in its target's units, and what solvers may ask."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from hwmodels import Metric, Precision
from passes.allocation.allocate import Allocate
from passes.allocation.build import check_pins, match_pins, uniform_bits
from passes.allocation.memory import MemoryBudget
from passes.allocation.problem import LOSS
from passes.allocation.quantities import METRICS, parse_metric, parse_pin
from passes.analysis.cost import price_plan
from passes.analysis.pairwise import Pairwise
from passes.analysis.workloads import Workloads
from passes.errors import ModelError, UsageError
from passes.ir.setup import quantizer_setup
from passes.search.budgets import check_budgets
from passes.search.point import MEASURED, MEASURED_WORD
from passes.search.task import SearchTask

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from hwmodels import Workload
    from passes.allocation.problem import AllocationProblem
    from passes.analysis.pairwise import PairTable
    from passes.api import PassContext
    from passes.ir.model import Model
    from passes.search.point import Choices

REFERENCE_SHARE = 0.1
"""Share of the float model's metric whose loss is the reference of the hypervolume."""


@dataclass(frozen=True)
class ModelKnowledge:
    """Answers about one model; see `passes.search.task.Knowledge`.

    Attributes:
        model: after the passes that come before allocation.
        ctx: with target and calibration data.
        allocate: the options of the problem.
        pins: layers that are fixed.
        problem: of the task.
    """

    model: Model
    ctx: PassContext
    allocate: Allocate
    pins: Mapping[str, Precision]
    problem: AllocationProblem

    def with_losses(self, sensitivity: str) -> AllocationProblem:
        """Return the same problem with the losses of another sensitivity."""
        return replace(self.allocate, sensitivity=sensitivity).problem(self.model, self.ctx, self.pins)

    def pairs(self, bits: Sequence[int]) -> PairTable:
        """Return how pairs of weights interact at the given widths."""
        return self.ctx.get(Pairwise(bits=tuple(bits)), self.model)

    def features(self) -> NDArray[np.float64]:
        """Return the eight static numbers of HAQ's state for each layer, shape (layers, 8), in its units.

        Depthwise or not, channels read, channels written, stride, kernel, weights, size of the input, index
        [HAQ, methods of the authors' linear environment].
        """
        works = self.ctx.get(Workloads(self.allocate.group_size), self.model)
        rows = [_features(works[layer.name], at) for at, layer in enumerate(self.problem.layers)]
        return np.array(rows, dtype=np.float64)

    def price(self, choices: Choices) -> dict[str, float]:
        """Return every cost that the target estimates, those that are no sums included."""
        layers = zip(self.problem.layers, choices, strict=True)
        bits = {layer.name: Precision(*layer.choices[index].pair) for layer, index in layers}
        total, _ = price_plan(self.model, self.ctx, bits, self.allocate.group_size)
        costs = {metric.value: total.get(metric) for metric in Metric}
        return {name: float(value) for name, value in costs.items() if value is not None}

    def memory(self, limit: float) -> MemoryBudget:
        """Return a budget on peak memory, in bytes."""
        return MemoryBudget.of(self.model, self.ctx, self.problem, limit)


def model_task(
    model: Model,
    ctx: PassContext,
    allocate: Allocate,
    objectives: Sequence[str],
    float_value: float,
    samples: int,
) -> SearchTask:
    """Return the task of a model.

    Args:
        model: after the passes that come before allocation.
        ctx: with target and calibration data.
        allocate: widths, pins, sensitivity and budgets on costs.
        objectives: ``loss`` and words such as ``latency``; ``loss`` is first whether or not it is given.
        float_value: metric of the float model.
        samples: number of samples of a whole measurement.

    Raises:
        ModelError: nothing can be quantized.
        UsageError: an objective that the target does not estimate.
        InfeasibleError: pins contradict each other, or no plan meets the budgets on costs.
    """
    setup = quantizer_setup(model.graph, ctx.target)
    if not setup.layers:
        raise ModelError(f"{model.path}: nothing can be quantized")
    pins = match_pins(setup.layers, [parse_pin(text) for text in allocate.pin])
    check_pins(setup, pins)
    metrics = [parse_metric(word) for word in objectives if word not in (LOSS, MEASURED_WORD)]
    for metric in metrics:
        if metric not in ctx.target.metrics:
            known = ", ".join(word for word, entry in METRICS.items() if entry in ctx.target.metrics)
            raise UsageError(f"target {ctx.target.name} does not estimate {metric.value}; it has {known}")
    ctx.observes |= allocate.observes
    problem = allocate.problem(model, ctx, pins)
    eight, _ = price_plan(model, ctx, uniform_bits(setup, Precision(8, 8), {}), allocate.group_size)
    names = {MEASURED_WORD: MEASURED} | {word: metric.value for word, metric in METRICS.items()}
    costs = tuple(dict.fromkeys(names[word] for word in objectives if word != LOSS))
    budgets = tuple(allocate.budgets(ctx.target, eight))
    limited = {budget.metric for budget in budgets}
    task = SearchTask(
        problem=problem,
        objectives=(LOSS, *costs),
        budgets=budgets,
        float_value=float_value,
        samples=samples,
        loss_reference=max(REFERENCE_SHARE * abs(float_value), 1e-9),
        not_summed=frozenset({*costs, *limited}) - set(problem.metrics),
        knowledge=ModelKnowledge(model, ctx, allocate, pins, problem),
    )
    check_budgets(task)
    return task


def _features(work: Workload, index: int) -> tuple[float, ...]:
    pixels_in = work.in_elements / (work.batch * work.in_channels)
    pixels_out = max(float(np.prod(work.out_spatial)), 1.0)
    axes = max(len(work.out_spatial), 1)
    stride = round(max(pixels_in / pixels_out, 1.0) ** (1 / axes)) if work.kernel else 0
    depthwise = float(work.groups > 1 and work.groups == work.in_channels)
    kernel = float(max(work.kernel, default=1))
    size = pixels_in if work.kernel else float(work.in_channels)
    weights = float(work.weight_count)
    return depthwise, work.in_channels, work.out_channels, stride, kernel, weights, size, index
