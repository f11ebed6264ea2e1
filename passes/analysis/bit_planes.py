"""Sensitivity from bit planes: what the output loses as the low planes of 8-bit weights go.

The part of bit-level sparsity that needs no training [Yang et al. 2021, BSQ, section 3]: a weight is held as
signs and planes of its magnitude; a width of b bits keeps the highest b - 1 of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from passes.analysis.one_at_a_time import OneAtATime, Rounding
from passes.analysis.output_sqnr import OutputSqnr, weight_losses
from passes.analysis.places import empty_planes
from passes.analysis.sensitivity import SensitivityTable
from passes.api import Analysis, Aspect, PassContext
from passes.ir.setup import quantizer_setup
from passes.numerics import RangeMethod

if TYPE_CHECKING:
    from passes.analysis.changes import Change
    from passes.ir.model import Model


@dataclass(frozen=True, slots=True)
class BitPlaneTable(SensitivityTable):
    """Losses, and what is free.

    Attributes:
        empty: highest planes that are empty, by layer: on average over its channels, at one scale for all.
    """

    empty: Mapping[str, float] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        plain = SensitivityTable(self.metric, self.weights, self.acts).to_json()
        return plain | {"empty_planes": dict(self.empty)}


@dataclass(frozen=True)
class BitPlanes(Analysis[SensitivityTable]):
    """Drop planes of one weight at a time; losses are ratios of noise to signal at the output.

    Planes are about weights; the losses of activations are those of `OutputSqnr`.

    Attributes:
        bits: widths of what is left, of at most 8; wider weights lose nothing.
        samples: calibration samples; 0 as for `OneAtATime`.
        method: range estimator of activations.
    """

    name: ClassVar[str] = "bit-planes"
    reads: ClassVar[Aspect] = Aspect.GRAPH | Aspect.WEIGHTS
    bits: tuple[int, ...] = (2, 3, 4, 5, 6, 7, 8)
    samples: int = 0
    method: RangeMethod = RangeMethod.MSE

    def run(self, model: Model, ctx: PassContext) -> BitPlaneTable:
        """Measure all weights."""
        acts = ctx.get(OutputSqnr(self.bits, self.samples, self.method), model).acts
        wanted = OneAtATime(self.bits, self.samples, self.method, Rounding.PLANES, activations=False)
        found = ctx.get(wanted, model)
        setup = quantizer_setup(model.graph, ctx.target)
        power = max(found.power, 1e-30)

        def loss(change: Change) -> float:
            return change.noise / power

        empty = {
            layer.name: empty_planes(layer.weight_values(), layer.channel_axis)
            for layer in setup.layers
            if layer.weight is not None
        }
        return BitPlaneTable(self.name, weight_losses(setup, found.weights, self.bits, loss), acts, empty)
