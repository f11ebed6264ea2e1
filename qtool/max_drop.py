"""`--max-drop`: the cheapest plan whose measured accuracy stays within a drop."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from hwmodels import FLOAT
from passes.allocation import cheapest
from passes.allocation.allocate import Allocate
from passes.allocation.build import match_pins
from passes.allocation.problem import LOSS
from passes.allocation.quantities import parse_pin, word_of
from passes.analysis.cost import Costs
from passes.errors import UsageError
from passes.ir.setup import quantizer_setup
from passes.manager import PassManager
from qtool.drop_trials import Trials

if TYPE_CHECKING:
    from collections.abc import Iterator

    from passes.api import Pass, PassContext
    from passes.instruments import PassRecord
    from passes.ir.model import Model
    from qtool.drop_trials import Trial
    from qtool.request import QuantizeRequest

ROUGH_TRIALS, EXACT_TRIALS, REFINED_TRIALS = 9, 4, 5
"""Plans measured roughly at first, after all passes, and roughly between two of the latter. Each of the
first kind halves the interval of the loss on a logarithmic scale."""
LEAST_LOSS = 1e-9
FALLBACKS = {16: "take 16 bits", FLOAT.act_bits: "stay float"}
"""What layers may take, one after the other, when no plan of the usual widths is accurate enough."""


def cheapest_within_drop(
    request: QuantizeRequest, passes: tuple[Pass, ...], model: Model, ctx: PassContext
) -> tuple[PassRecord, ...]:
    """Bisect the loss that the solver may spend, measuring plans on the evaluation data.

    Accuracy falls with the summed loss, nearly enough for bisection. While there are many plans, they are
    measured without passes that refine them and take long; few are measured after all passes, and the one
    that is kept was measured so to be within the drop, in the forms that are delivered. When no plan of the
    usual widths is, 16 bits are allowed where the target runs them, and then floats. When none is even then,
    the plan of least loss is kept, and the caller finds that the drop is missed.

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
    trials = Trials(request, passes[place + 1 :], model, ctx)
    kept = _search(trials, _stages(request, allocate, model, ctx), model, ctx)
    message = f"{trials.rough_runs} plans measured roughly, {trials.exact_runs} after all passes"
    ctx.note("max-drop", "allocation", message)
    model.plan = kept.plan
    if floats := [name for name, pair in kept.bits if pair.act_bits == FLOAT.act_bits]:
        ctx.note("max-drop", "allocation", f"kept in floating point: {', '.join(floats)}")
    return records + kept.records


def _stages(
    request: QuantizeRequest, allocate: Allocate, model: Model, ctx: PassContext
) -> Iterator[Allocate]:
    """Yield the allocation, and then those with fallbacks, unless the widths were asked for."""
    yield allocate
    for bits, action in FALLBACKS.items():
        if request.bits or bits in allocate.bits:
            continue
        wide = replace(allocate, bits=(*allocate.bits, bits))
        offers = ctx.get(Costs(wide.bits), model).layers
        able = [
            name for name, pairs in offers.items() if any(bits in (p.weight_bits, p.act_bits) for p in pairs)
        ]
        if able:
            allocate = wide
            message = f"no plan of fewer bits stays within the drop: {len(able)} layers may {action}"
            ctx.note("max-drop", "allocation", message)
            yield wide


def _search(trials: Trials, stages: Iterator[Allocate], model: Model, ctx: PassContext) -> Trial:
    """Return the cheapest plan of the first stage that has one within the drop, or that of least loss."""
    least: Trial | None = None
    for allocate in stages:
        search = _Search.of(trials, allocate, model, ctx)
        start = search.exact(search.low)
        least = least or start
        if trials.within(start):
            found = [start, *search.within_drop()]
            # The last that is small enough is the cheapest; the artifact may be a step worse than Q/DQ.
            return next((trial for trial in reversed(found) if trials.packed_within(trial)), least)
    if least is None:
        raise UsageError("--max-drop needs an allocation to try")
    return least


@dataclass
class _Search:
    """A search between two losses, on a logarithmic scale."""

    trials: Trials
    allocate: Allocate
    ctx: PassContext
    low: float
    high: float

    @classmethod
    def of(cls, trials: Trials, allocate: Allocate, model: Model, ctx: PassContext) -> _Search:
        """Find the least and the largest loss that a plan can have."""
        setup = quantizer_setup(model.graph, ctx.target)
        pins = match_pins(setup.layers, [parse_pin(text) for text in allocate.pin])
        problem = allocate.problem(model, ctx, pins)
        least = max(cheapest(problem, LOSS), LEAST_LOSS)
        most = math.fsum(max(choice.loss for choice in layer.choices) for layer in problem.layers)
        return cls(trials, allocate, ctx, math.log(least * (1 + 1e-6)), math.log(max(most, least * 2)))

    def within_drop(self) -> list[Trial]:
        """Return plans within the drop, measured after all passes, from the dearest to the cheapest."""
        found: list[Trial] = []
        low, high, margin = self.low, self.high, 0.0
        for done in range(EXACT_TRIALS if self.trials.refines else 1):
            at = self._next(low, high, margin, ROUGH_TRIALS if not done else REFINED_TRIALS)
            trial = self.exact(at)
            # What the passes that refine add or take, here: rough trials near by will be as far off.
            margin = trial.drop - self._rough(at).drop
            self.ctx.progress("search", done + 1, EXACT_TRIALS)
            if self.trials.within(trial):
                found, low = [*found, trial], at
            else:
                high = at
        return found or self._steps_down(high)

    def exact(self, loss: float) -> Trial:
        """Measure the cheapest plan of a loss after all passes."""
        return self.trials.exact(replace(self.allocate, max_loss=math.exp(loss)))

    def _rough(self, loss: float) -> Trial:
        return self.trials.rough(replace(self.allocate, max_loss=math.exp(loss)))

    def _next(self, low: float, high: float, margin: float, count: int) -> float:
        """Return the largest loss at which a plan seems good enough, or one halfway where none does."""
        best = (low + high) / 2
        known = low
        for done in range(count):
            middle = (known + high) / 2
            if self.trials.within(self._rough(middle), margin):
                best = known = middle
            else:
                high = middle
            self.ctx.progress("search", done + 1, count)
        return best

    def _steps_down(self, high: float) -> list[Trial]:
        """Return what is found below a loss at which the plan was less accurate than it seemed."""
        found: list[Trial] = []
        low = self.low
        for _ in range(REFINED_TRIALS):
            middle = (low + high) / 2
            trial = self.exact(middle)
            if self.trials.within(trial):
                found, low = [*found, trial], middle
            else:
                high = middle
        return found
