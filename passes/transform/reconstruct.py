"""Block reconstruction: learn rounding, biases and activation steps, block by block, by gradients.

Blocks as in BRECQ [arXiv 2102.05426], soft rounding as in AdaRound [arXiv 2004.10568], activations quantized
at random as in QDrop [arXiv 2203.05740]. Needs the extra ``train``.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from math import fsum
from typing import TYPE_CHECKING, ClassVar

from passes.api import Aspect, Pass, PassContext, PassResult
from passes.errors import PreconditionError, UsageError
from passes.training.scope import Scope

if TYPE_CHECKING:
    from passes.ir.model import Model


@dataclass(frozen=True)
class Reconstruct(Pass):
    """Learn on calibration data; the plan keeps codes of weights, biases and scales of activations.

    It starts from the codes that the plan has, or else from the nearest ones. An eighth of the samples is
    held out: a block whose error on these does not fall stays as it was. Blocks that even weights between two
    codes make no better are given up early.

    Attributes:
        iterations: steps of Adam per block.
        batch: samples per step.
        rate: learning rate of the rounding.
        step_rate: learning rate of activation scales, relative to the scale.
        bias_rate: learning rate of biases, relative to the spread of the layer's output.
        drop: probability with which an activation is taken as it is in float.
        regularization: weight of the push towards whole codes.
        scope: ``block`` or ``layer``.
        limit: a block of more layers than this is learned layer by layer.
        samples: calibration samples to use at most; 0 takes as many as memory allows.
        max_bits: weights of more bits keep the rounding they have.
        device: ``cpu``, ``cuda`` or ``auto``, which takes a GPU when there is one.
    """

    name: ClassVar[str] = "reconstruct"
    refines: ClassVar[bool] = True
    iterations: int = 300
    batch: int = 16
    rate: float = 3e-2
    step_rate: float = 1e-3
    bias_rate: float = 1e-3
    drop: float = 0.5
    regularization: float = 1.0
    scope: Scope = Scope.BLOCK
    limit: int = 8
    samples: int = 0
    max_bits: int = 8
    device: str = "cpu"

    def check(self, model: Model, ctx: PassContext) -> None:
        """Scales must have been assigned, there must be data, and PyTorch must run every node.

        Raises:
            UsageError: PyTorch is missing, there are no data, or an option makes no sense.
            ModelError: nodes that the bridge cannot run; the message names them.
        """
        if any(quant.params is None for quant in model.plan.tensors.values()):
            raise PreconditionError("reconstruct: run assign-scales first")
        if find_spec("torch") is None:
            raise UsageError("reconstruct: needs PyTorch; install the extra: pip install 'qtool[train]'")
        if ctx.calibration is None:
            raise UsageError("reconstruct: needs calibration data; give --calib")
        if min(self.iterations, self.batch, self.limit) < 1 or self.samples < 0:
            raise UsageError(
                "reconstruct: iterations, batch and limit must be at least 1, samples at least 0"
            )
        if not 0 <= self.drop < 1 or min(self.rate, self.step_rate, self.bias_rate, self.regularization) < 0:
            raise UsageError("reconstruct: drop must be in 0..1, without 1, and rates must not be negative")

    def run(self, model: Model, ctx: PassContext) -> PassResult:
        """Learn all blocks."""
        from passes.training.blocks import find_blocks
        from passes.training.parts import Recipe
        from passes.training.reconstruction import Reconstruction
        from passes.training.simulation import Simulation
        from passes.training.threads import threads

        recipe = Recipe(
            self.iterations,
            self.batch,
            self.rate,
            self.step_rate,
            self.bias_rate,
            self.drop,
            self.regularization,
        )
        with threads(ctx.workers):
            simulation = Simulation.of(model, ctx.target, self.device)
            blocks = find_blocks(model.graph, simulation.setup.layers, self.scope, self.limit)
            work = Reconstruction(model, ctx, simulation)
            if blocks:
                work.run(blocks, recipe, self.samples, self.max_bits)
        learned = [outcome for outcome in work.outcomes if not outcome.reason]
        model.plan = work.plan
        left = fsum(outcome.after / outcome.before for outcome in learned) / max(len(learned), 1)
        facts = {"blocks": len(blocks), "learned": len(learned), "error_left": left}
        wrote = Aspect.PLAN if learned else Aspect.NONE
        return PassResult(wrote, f"{len(learned)} of {len(blocks)} blocks learned", facts)
