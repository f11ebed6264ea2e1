"""Precisions that change at random during training, by how harmful they were: AMED; extra ``train``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from passes.allocation.quantities import METRICS, parse_metric
from passes.api import Aspect, Pass, PassContext, PassResult
from passes.errors import UsageError
from passes.execution.collect import HISTOGRAMS
from passes.training.course import ChainCourse

if TYPE_CHECKING:
    from passes.ir.model import Model


@dataclass(frozen=True)
class Amed(ChainCourse, Pass):
    """Walk over the precisions of a plan while its weights are trained [AMED, arXiv 2205.15437].

    Starts from a plan with the most bits that anything may take. Every few steps the bits in use are judged
    by loss and cost, and others are drawn. The plan kept is the least harmful one met, the first among them;
    put finetune behind it to train longer with its bits.

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
        metric: ``latency``, ``energy``, ``size`` or ``bops``, as the target estimates it.
        alpha: weight of the loss.
        beta: weight of the cost, relative to that of the plan to start with.
        every: steps between two draws.
        score_rate: share by which scores move towards what was found.
        temperature: of the draws.
        moving: share of the quantizers that propose a width at a draw, chosen at random; the paper's is 1.
        checks: how often a checkpoint is written at most.
        checkpoint: file that a run goes on from; empty for none.
    """

    name: ClassVar[str] = "amed"
    observes: ClassVar[frozenset[str]] = frozenset({HISTOGRAMS})
    metric: str = "latency"

    def check(self, model: Model, ctx: PassContext) -> None:
        """Scales must have been assigned, there must be calibration data, and options must make sense.

        Raises:
            PreconditionError: a tensor has no scale.
            UsageError: PyTorch or data are missing, or an option makes no sense.
        """
        self.check_trainable(self.name, model, ctx)
        if ctx.calibration is None:
            raise UsageError(
                "amed: needs calibration data, which tell the ranges of other bits; give --calib"
            )
        summed = ctx.target.metrics & ctx.target.additive
        if parse_metric(self.metric) not in summed:
            known = ", ".join(word for word, metric in METRICS.items() if metric in summed)
            raise UsageError(f"amed: target {ctx.target.name} has metric {known}, not {self.metric}")

    def run(self, model: Model, ctx: PassContext) -> PassResult:
        """Train.

        Raises:
            ModelError: nodes that the bridge cannot run; the message names them.
            UsageError: labels are asked for and missing.
            DataError: the data or the checkpoint cannot be used.
        """
        from passes.training.lesson import Lesson
        from passes.training.precision_chain import PrecisionChain
        from passes.training.simulation import Simulation
        from passes.training.threads import threads
        from passes.training.training_data import TrainingData

        with threads(ctx.workers):
            data = TrainingData.of(ctx.training or ctx.calibration, self, ctx.seed)
            lesson = Lesson(Simulation.of(model, ctx.target, self.device), data)
            if not lesson.simulation.setup.layers:
                return PassResult(Aspect.NONE, "no layer is quantized", {"layers": 0})
            work = PrecisionChain(model, ctx, lesson, self, parse_metric(self.metric).value)
            plan = work.run()
        wrote = Aspect.PLAN if plan != model.plan else Aspect.NONE
        model.plan = plan
        facts = {"loss": work.loss, "cost": work.share, "step": work.best_step}
        summary = f"{self.metric} {work.share:.3f}x, loss {work.loss:.4g} after {work.best_step} steps"
        return PassResult(wrote, summary + (f"; stopped: {work.ended}" if work.ended else ""), facts)
