"""Quantization-aware fine-tuning of a plan: weights, their scales, biases and activation scales by gradients.

Needs the extra ``train``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from passes.api import Aspect, Pass, PassContext, PassResult
from passes.training.course import TuningCourse

if TYPE_CHECKING:
    from passes.ir.model import Model


@dataclass(frozen=True)
class Finetune(TuningCourse, Pass):
    """Train a quantized model on data, with labels or without, and keep the bits of its plan.

    The data are those of ``--train`` or, without any, the calibration samples. The plan is the best of those
    met at the checks by the loss on samples held out, the one to start with among them. On a CPU the same
    input gives the same plan, also when the run was interrupted and went on from its checkpoint.

    Attributes:
        steps: steps of Adam.
        batch: samples per step.
        rate: learning rate of the weights, in steps of their codes.
        step_rate: learning rate of scales, relative to the scale.
        bias_rate: learning rate of biases, relative to the spread of the layer's output.
        schedule: of all rates: cosine or linear, down to nothing, or constant.
        warm_up: steps over which rates rise from nothing first.
        labels: weight of the labels in the loss, 0 to 1; the rest is agreement with the float model. none:
            half where the data have labels and the model has classes, else 0.
        label_offset: added to labels, 1 for models with a background class.
        shift: pixels by which pictures are moved at random at most.
        mirror: swap left and right in half of the pictures.
        held: samples held out at most, at most an eighth of all; 0 judges by some that are learned from.
        checks: how often the loss on the samples held out is measured.
        patience: stop after so many checks without a better one; 0 never stops early.
        checkpoint: file that is written at every check, and that a run goes on from; empty for none.
        device: ``cpu``, ``cuda`` or ``auto``, which takes a GPU when there is one.
    """

    name: ClassVar[str] = "finetune"
    refines: ClassVar[bool] = True

    def check(self, model: Model, ctx: PassContext) -> None:
        """Scales must have been assigned, there must be data, and options must make sense.

        Raises:
            PreconditionError: a tensor has no scale.
            UsageError: PyTorch is missing, there are no data, or an option makes no sense.
        """
        self.check_trainable(self.name, model, ctx)

    def run(self, model: Model, ctx: PassContext) -> PassResult:
        """Train.

        Raises:
            ModelError: nodes that the bridge cannot run; the message names them.
            UsageError: labels are asked for, and the data or the model have none.
            DataError: the data or the checkpoint cannot be used.
        """
        from passes.training.finetuning import FineTuning
        from passes.training.lesson import Lesson
        from passes.training.simulation import Simulation
        from passes.training.threads import threads
        from passes.training.training_data import TrainingData

        with threads(ctx.workers):
            simulation = Simulation.of(model, ctx.target, self.device)
            if not simulation.setup.stored:
                return PassResult(Aspect.NONE, "no layer is quantized", {"layers": 0})
            data = TrainingData.of(ctx.training or ctx.calibration, self, ctx.seed)
            work = FineTuning(model, ctx, Lesson(simulation, data), self)
            plan = work.run()
        wrote = Aspect.PLAN if plan != model.plan else Aspect.NONE
        model.plan, done = plan, work.progress
        facts = {"before": done.before, "after": done.best, "step": done.best_step}
        summary = f"loss {done.before:.4g}, then {done.best:.4g} after {done.best_step} of {self.steps} steps"
        ended = f"; stopped: {work.ended}" if work.ended else ""
        return PassResult(wrote, summary + ended, facts)
