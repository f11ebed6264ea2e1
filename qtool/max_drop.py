"""`--max-drop`: the cheapest plan whose measured accuracy stays within a drop."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from passes.allocation import cheapest
from passes.allocation.allocate import Allocate
from passes.allocation.build import match_pins
from passes.allocation.problem import LOSS
from passes.allocation.quantities import parse_pin, word_of
from passes.analysis.cost import Costs
from passes.api import Aspect
from passes.errors import LoweringError, UsageError
from passes.execution.metrics import choose_metric
from passes.execution.simulator import Simulator
from passes.ir.setup import quantizer_setup
from passes.manager import PassManager

if TYPE_CHECKING:
    from hwmodels import Precision
    from passes.api import Pass, PassContext
    from passes.instruments import PassRecord
    from passes.ir.model import Model
    from qtool.request import QuantizeRequest

TRIALS = 9
"""Plans that are measured; each halves the interval of the loss on a logarithmic scale."""
LEAST_LOSS = 1e-9
WIDE_BITS = 16
"""What a layer falls back to when eight bits are too few."""


def cheapest_within_drop(
    request: QuantizeRequest, passes: tuple[Pass, ...], model: Model, ctx: PassContext
) -> tuple[PassRecord, ...]:
    """Bisect the loss that the solver may spend, measuring the plan of every step on the evaluation data.

    Accuracy falls with the summed loss, nearly enough for bisection; what counts is that the plan that is
    kept was measured to be within the drop. When no plan of the usual widths is, 16 bits are
    allowed where the target runs them. When none is even then, the plan of least loss is kept, and the
    caller finds that the drop is missed.

    Returns:
        Records of the passes that lead to the plan that is kept.

    Raises:
        UsageError: the pipeline has no allocate pass, or changes weights by data after it.
    """
    place = next((index for index, step in enumerate(passes) if isinstance(step, Allocate)), None)
    if place is None:
        raise UsageError("--max-drop needs a pipeline with an allocate pass")
    if late := [step.name for step in passes[place:] if step.keeps_constants]:
        raise UsageError(
            f"--max-drop tries many allocations on the same weights; put {late[0]} before allocate"
        )
    allocate = passes[place]
    objective = request.objective()
    if not isinstance(allocate, Allocate) or objective is None:
        raise UsageError("--max-drop needs an objective that the target estimates")
    allocate = replace(allocate, minimize=word_of(objective))
    ctx.observes = frozenset().union(*(step.observes for step in (*passes, allocate)))
    records = PassManager(passes[:place]).run(model, ctx)
    trial = _Trial(request, allocate, passes[place + 1 :], model, ctx)
    return records + trial.search()


class _Trial:
    """Measures plans of given loss."""

    def __init__(
        self,
        request: QuantizeRequest,
        allocate: Allocate,
        rest: tuple[Pass, ...],
        model: Model,
        ctx: PassContext,
    ) -> None:
        self._request, self._allocate, self._rest = request, allocate, rest
        self._model, self._ctx = model, ctx
        setup = quantizer_setup(model.graph, ctx.target)
        self._simulator = Simulator(model, setup, ctx.evaluation, ctx.workers)
        self._reference = self._simulator.reference()
        self._metric = choose_metric(request.metric, ctx.evaluation.labels, request.label_offset)
        self._found = False
        self._truth = ctx.evaluation.truth(self._metric)
        self._float = self._metric(self._reference, self._reference, self._truth)

    def search(self) -> tuple[PassRecord, ...]:
        """Return the records of the last plan within the drop, with that plan in the model."""
        setup = quantizer_setup(self._model.graph, self._ctx.target)
        pins = match_pins(setup.layers, [parse_pin(text) for text in self._allocate.pin])
        problem = self._allocate.problem(self._model, self._ctx, pins)
        least = max(cheapest(problem, LOSS), LEAST_LOSS)
        most = sum(max(choice.loss for choice in layer.choices) for layer in problem.layers)
        low, high = math.log(least * (1 + 1e-6)), math.log(max(most, least * 2))
        kept, within = self._measure(math.exp(low))
        plan = self._model.plan
        if not within and self._widen():
            wide = self.search()
            if self._found:
                return wide
            self._model.plan = plan
            return kept
        for done in range(TRIALS):
            middle = (low + high) / 2
            records, within = self._measure(math.exp(middle))
            if within:
                low, kept, plan = middle, records, self._model.plan
            else:
                high = middle
            self._ctx.progress("search", done + 1, TRIALS)
        self._model.plan = plan
        return kept

    def _widen(self) -> bool:
        """Allow 16 bits where the target runs them, unless the widths were asked for; True if that is new."""
        wide = replace(self._allocate, bits=(*self._allocate.bits, WIDE_BITS))
        if self._request.bits or WIDE_BITS in self._allocate.bits:
            return False
        offers = self._ctx.get(Costs(wide.bits), self._model).layers
        able = [name for name, prices in offers.items() if any(_is_wide(pair) for pair in prices)]
        if not able:
            return False
        self._allocate = wide
        message = f"no plan of at most 8 bits stays within the drop: {len(able)} layers may take 16"
        self._ctx.note("max-drop", "allocation", message)
        return True

    def _measure(self, loss: float) -> tuple[tuple[PassRecord, ...], bool]:
        ctx, model = self._ctx, self._model
        records = PassManager((replace(self._allocate, max_loss=loss), *self._rest)).run(model, ctx)
        if any(record.wrote & (Aspect.GRAPH | Aspect.WEIGHTS) for record in records):
            # A pass after the allocation changed what the simulator was prepared for.
            setup = quantizer_setup(model.graph, ctx.target)
            self._simulator = Simulator(model, setup, ctx.evaluation, ctx.workers)
        try:
            outputs = self._simulator.run(model.plan)
        except LoweringError as error:
            if WIDE_BITS not in self._allocate.bits:
                raise
            ctx.note("max-drop", "allocation", f"a plan with 16 bits cannot be lowered: {error}")
            return records, False
        value = self._metric(outputs, self._reference, self._truth)
        within = self._float - value <= (self._request.max_drop or 0.0)
        self._found = self._found or within
        return records, within


def _is_wide(pair: Precision) -> bool:
    return WIDE_BITS in (pair.weight_bits, pair.act_bits)
