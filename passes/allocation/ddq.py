"""Bits, ranges and steps learned together with the weights: DDQ [arXiv 2106.02295]; extra ``train``."""

from __future__ import annotations

from dataclasses import dataclass
from math import fsum
from typing import TYPE_CHECKING, ClassVar

from hwmodels import Metric, Precision
from passes.allocation.allocate import Allocate
from passes.allocation.build import uniform_bits
from passes.analysis.cost import price_plan
from passes.api import Aspect, Pass, PassContext, PassResult
from passes.errors import UsageError
from passes.execution.collect import HISTOGRAMS
from passes.ir.setup import quantizer_setup
from passes.training.course import GateCourse

if TYPE_CHECKING:
    from collections.abc import Mapping

    from passes.ir.model import Model
    from passes.training.resource import Limit

BUDGETS = ("max_latency", "max_energy", "max_size", "max_bops")


@dataclass(frozen=True)
class Ddq(GateCourse, Pass):
    """Learn the bits of weights and activations within budgets, from a plan with the most bits to keep.

    Gates take bits away and give them back while weights and steps are trained; then the bits are settled
    within the budgets, and weights and steps are trained on. The result has uniform integers; put finetune
    behind it to train longer, with biases.

    Attributes:
        steps: steps of Adam.
        batch: samples per step.
        rate: learning rate of the weights, in steps of their codes.
        schedule: of the rates: cosine or linear, down to nothing, or constant.
        warm_up: steps over which rates rise from nothing first.
        labels: weight of the labels in the loss, as for finetune.
        label_offset: added to labels, 1 for models with a background class.
        shift: pixels by which pictures are moved at random at most.
        mirror: swap left and right in half of the pictures.
        held: samples held out at most, at most an eighth of all, to measure the loss on.
        device: ``cpu``, ``cuda`` or ``auto``, which takes a GPU when there is one.
        step_rate: learning rate of scales, relative to the scale.
        gate_rate: learning rate of the gates, which begin at 0.5, and close at 0.
        power: the loss is multiplied by (cost / budget) to this power where a budget is exceeded.
        search: share of the steps in which bits are learned.
        checks: how often the loss on the samples held out is measured.
        checkpoint: file that is written at every check, and that a run goes on from; empty for none.
        max_latency: budget with a unit (``12ms``) or relative to uniform 8 bits (``0.5x``); empty for none.
        max_energy: likewise, in joules.
        max_size: likewise, bytes of weights.
        max_bops: likewise, bit operations.
    """

    name: ClassVar[str] = "ddq"
    observes: ClassVar[frozenset[str]] = frozenset({HISTOGRAMS})
    steps: int = 300
    max_latency: str = ""
    max_energy: str = ""
    max_size: str = ""
    max_bops: str = ""

    def check(self, model: Model, ctx: PassContext) -> None:
        """Scales must have been assigned, there must be calibration data, and options must make sense.

        Raises:
            PreconditionError: a tensor has no scale.
            UsageError: PyTorch, data or budgets are missing, or an option makes no sense.
        """
        self.check_trainable(self.name, model, ctx)
        if ctx.calibration is None:
            raise UsageError("ddq: needs calibration data, which tell the ranges of other bits; give --calib")
        if not any(getattr(self, name) for name in BUDGETS):
            raise UsageError("ddq: without a budget all bits would stay; give one, such as max-size=0.5x")

    def run(self, model: Model, ctx: PassContext) -> PassResult:
        """Train.

        Raises:
            ModelError: nodes that the bridge cannot run; the message names them.
            UsageError: labels are asked for and missing, or a budget is on a metric that the target lacks.
            InfeasibleError: the least bits of everything exceed a budget.
            DataError: the data or the checkpoint cannot be used.
        """
        from passes.training.dynamic_quantization import DynamicQuantization
        from passes.training.lesson import Lesson
        from passes.training.simulation import Simulation
        from passes.training.threads import threads
        from passes.training.training_data import TrainingData

        def price(bits: Mapping[str, Precision]) -> dict[str, float]:
            total, _ = price_plan(model, ctx, bits)
            return {metric.value: float(total.get(metric) or 0.0) for metric in Metric}

        with threads(ctx.workers):
            data = TrainingData.of(ctx.training or ctx.calibration, self, ctx.seed)
            lesson = Lesson(Simulation.of(model, ctx.target, self.device), data)
            if not lesson.simulation.setup.layers:
                return PassResult(Aspect.NONE, "no layer is quantized", {"layers": 0})
            work = DynamicQuantization(model, ctx, lesson, self, self._limits(model, ctx))
            plan = work.run(price)
        wrote = Aspect.PLAN if plan != model.plan else Aspect.NONE
        model.plan = plan
        if work.ended:
            return PassResult(wrote, f"stopped: {work.ended}", {"loss": work.loss})
        return PassResult(wrote, f"{work.described()}, loss {work.loss:.4g}", {"loss": work.loss})

    def _limits(self, model: Model, ctx: PassContext) -> list[Limit]:
        """Return the budgets, in the units of the metrics."""
        from passes.training.resource import Limit

        setup = quantizer_setup(model.graph, ctx.target)
        eight, _ = price_plan(model, ctx, uniform_bits(setup, Precision(8, 8), {}))
        bits = {name: layer.precision for name, layer in model.plan.layers.items()}
        total, layers = price_plan(model, ctx, bits)
        asked = Allocate(**{name: getattr(self, name) for name in BUDGETS})
        limits = []
        for budget in asked.budgets(ctx.target, eight):
            metric = Metric(budget.metric)
            summed = fsum(float(cost.get(metric) or 0.0) for cost in layers.values())
            fixed = max(float(total.get(metric) or 0.0) - summed, 0.0)
            limits.append(Limit(budget.metric, budget.limit, fixed))
        return limits
