"""Bits, ranges and steps learned together with the weights: DDQ [arXiv 2106.02295]; extra ``train``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from passes.allocation.learned_budgets import LearnedBudgets, pricing
from passes.api import Aspect, Pass, PassContext, PassResult
from passes.execution.collect import HISTOGRAMS
from passes.training.course import GateCourse

if TYPE_CHECKING:
    from passes.ir.model import Model


@dataclass(frozen=True)
class Ddq(LearnedBudgets, GateCourse, Pass):
    """Learn the bits of weights and activations within budgets, from a plan with the most bits to keep.

    Gates take bits away and give them back while weights and steps are trained; then the bits are settled
    within the budgets, and weights and steps are trained on. The result has uniform integers or, with
    `levels=free`, tables; put finetune behind it to train longer, with biases, and after a short run
    assign-scales and gptq before that.

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
        levels: of weights: uniform, or free ones of a table, which weights of fewer than 8 bits are stored
            as indices of; they are computed with as bytes.
        correction: how long a gradient of the squared error is added to that of free levels, over the latter.
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

    def check(self, model: Model, ctx: PassContext) -> None:
        """Scales must have been assigned, there must be calibration data, and options must make sense.

        Raises:
            PreconditionError: a tensor has no scale.
            UsageError: PyTorch, data or budgets are missing, or an option makes no sense.
        """
        self.check_trainable(self.name, model, ctx)
        self.check_budgets(self.name, ctx)

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

        with threads(ctx.workers):
            data = TrainingData.of(ctx.training or ctx.calibration, self, ctx.seed)
            lesson = Lesson(Simulation.of(model, ctx.target, self.device), data)
            if not lesson.simulation.setup.layers:
                return PassResult(Aspect.NONE, "no layer is quantized", {"layers": 0})
            work = DynamicQuantization(model, ctx, lesson, self, self.limits(model, ctx))
            plan = work.run(pricing(model, ctx))
        wrote = Aspect.PLAN if plan != model.plan else Aspect.NONE
        model.plan = plan
        if work.ended:
            return PassResult(wrote, f"stopped: {work.ended}", {"loss": work.loss})
        return PassResult(wrote, f"{work.described()}, loss {work.loss:.4g}", {"loss": work.loss})
