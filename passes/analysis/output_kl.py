"""Sensitivity by measurement: how far one quantizer moves the distribution that the model puts out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from passes.analysis.one_at_a_time import OneAtATime
from passes.analysis.output_sqnr import OutputSqnr, act_losses, weight_losses
from passes.analysis.sensitivity import SensitivityTable
from passes.api import Analysis, Aspect, PassContext
from passes.ir.setup import quantizer_setup
from passes.numerics import RangeMethod

if TYPE_CHECKING:
    from passes.analysis.changes import Change
    from passes.ir.model import Model


@dataclass(frozen=True)
class OutputKl(Analysis[SensitivityTable]):
    """Quantize one weight, or one group of activations, at a time; the loss is a mean divergence in nats.

    The divergence is that of Kullback and Leibler, ``sum(p log(p / q))``, of the quantized model's softmax
    ``q`` from the float model's ``p``. Where outputs stand for no distribution, losses are those of
    `OutputSqnr`, and the journal says why.

    Attributes:
        bits: widths to measure.
        samples: calibration samples; 0 as for `OneAtATime`.
        method: range estimator of activations.
    """

    name: ClassVar[str] = "kl"
    reads: ClassVar[Aspect] = Aspect.GRAPH | Aspect.WEIGHTS
    bits: tuple[int, ...] = (2, 3, 4, 5, 6, 7, 8)
    samples: int = 0
    method: RangeMethod = RangeMethod.MSE

    def run(self, model: Model, ctx: PassContext) -> SensitivityTable:
        """Measure all quantizers."""
        found = ctx.get(OneAtATime(self.bits, self.samples, self.method), model)
        if found.reason:
            ctx.note(self.name, "sensitivity", f"noise is measured instead of divergence: {found.reason}")
            return ctx.get(OutputSqnr(self.bits, self.samples, self.method), model)
        setup = quantizer_setup(model.graph, ctx.target)

        def loss(change: Change) -> float:
            return change.divergence / max(found.rows, 1)

        return SensitivityTable(
            self.name,
            weight_losses(setup, found.weights, self.bits, loss),
            act_losses(setup, found.acts, self.bits, loss),
        )
