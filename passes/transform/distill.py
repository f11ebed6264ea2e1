"""Distillation: what is left of the error of a quantized model, learned away from its float original.

Behind `passes.transform.gptq` and instead of, or behind, `passes.transform.reconstruct`: those see a layer or
a block at a time, this one the results of the model. Needs the extra ``train``.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, ClassVar

from passes.api import Aspect, Pass, PassContext, PassResult
from passes.errors import PreconditionError, UsageError

if TYPE_CHECKING:
    from passes.ir.model import Model


@dataclass(frozen=True)
class Distill(Pass):
    """Learn codes of weights, biases and scales of activations of the whole model on calibration data.

    Every weight stays within one step of the code that it starts from. The plan is the best of those met at
    the checks by the loss on samples held out, the one to start with among them. Passes that have seen those
    samples, as `passes.transform.gptq.Gptq` has, are favoured by that; mirror images they have not seen.

    Attributes:
        iterations: steps of Adam.
        batch: samples per step.
        rate: learning rate of the weights, in steps of their codes.
        step_rate: learning rate of activation scales, relative to the scale.
        bias_rate: learning rate of biases, relative to the spread of the layer's output.
        checks: how often the loss on the samples held out is measured.
        held: one sample in so many is held out, not learned from; 0 judges by samples learned from.
        mirror: learn from the mirror images of all samples too, along the last axis, and judge by those of
            the samples held out: for pictures whose meaning does not depend on left and right.
        samples: calibration samples to use at most; 0 takes as many as memory allows.
        max_bits: weights of more bits keep the rounding they have.
        device: ``cpu``, ``cuda`` or ``auto``, which takes a GPU when there is one.
    """

    name: ClassVar[str] = "distill"
    iterations: int = 200
    batch: int = 8
    rate: float = 6e-3
    step_rate: float = 2e-3
    bias_rate: float = 3e-4
    checks: int = 8
    held: int = 8
    mirror: bool = False
    samples: int = 0
    max_bits: int = 7
    device: str = "cpu"

    def check(self, model: Model, ctx: PassContext) -> None:
        """Scales must have been assigned, there must be data, and options must make sense.

        Raises:
            PreconditionError: a tensor has no scale.
            UsageError: PyTorch is missing, there are no data, or an option makes no sense.
        """
        if any(quant.params is None for quant in model.plan.tensors.values()):
            raise PreconditionError("distill: run assign-scales first")
        if find_spec("torch") is None:
            raise UsageError("distill: needs PyTorch; install the extra: pip install 'qtool[train]'")
        if ctx.calibration is None:
            raise UsageError("distill: needs calibration data; give --calib")
        if min(self.iterations, self.batch, self.checks) < 1 or min(self.samples, self.held) < 0:
            raise UsageError(
                "distill: iterations, batch and checks must be at least 1, samples and held at least 0"
            )
        if min(self.rate, self.step_rate, self.bias_rate) < 0:
            raise UsageError("distill: learning rates must not be negative")

    def run(self, model: Model, ctx: PassContext) -> PassResult:
        """Learn.

        Raises:
            ModelError: nodes that the bridge cannot run, or results that are not finite; the message names
                them.
        """
        from passes.training.distillation import Course, Distillation
        from passes.training.samples import load_fitting
        from passes.training.simulation import Simulation
        from passes.training.threads import threads

        course = Course(
            self.iterations, self.batch, self.rate, self.step_rate, self.bias_rate, self.checks, self.held
        )
        with threads(ctx.workers):
            simulation = Simulation.of(model, ctx.target, self.device)
            if not simulation.setup.layers:
                return PassResult(Aspect.NONE, "no layer is quantized", {"layers": 0})
            samples = load_fitting(ctx, self.name, self.samples, copies=4 if self.mirror else 2)
            work = Distillation(model, ctx, simulation, samples, self.mirror)
            plan = work.run(course, self.max_bits)
        wrote = Aspect.PLAN if plan is not model.plan else Aspect.NONE
        model.plan = plan
        facts = {"before": work.before, "after": work.after}
        return PassResult(wrote, f"loss {work.before:.4g}, then {work.after:.4g}", facts)
