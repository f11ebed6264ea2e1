"""Sensitivity by measurement: the noise at the model's output with one quantizer on and all others off."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from passes.analysis.one_at_a_time import OneAtATime
from passes.analysis.sensitivity import SensitivityTable
from passes.api import Analysis, Aspect, PassContext
from passes.ir.setup import quantizer_setup
from passes.numerics import RangeMethod

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from passes.analysis.changes import Change
    from passes.analysis.one_at_a_time import Key
    from passes.ir.model import Model
    from passes.ir.setup import QuantizerSetup


@dataclass(frozen=True)
class OutputSqnr(Analysis[SensitivityTable]):
    """Quantize one weight, or one group of activations, at a time, and compare the outputs with float.

    The loss is the ratio of noise to signal at the output, the inverse of the SQNR that AIMET and others rank
    layers by.

    Attributes:
        bits: widths to measure.
        samples: calibration samples; 0 as for `OneAtATime`.
        method: range estimator of activations.
    """

    name: ClassVar[str] = "sqnr"
    reads: ClassVar[Aspect] = Aspect.GRAPH | Aspect.WEIGHTS
    bits: tuple[int, ...] = (2, 3, 4, 5, 6, 7, 8)
    samples: int = 0
    method: RangeMethod = RangeMethod.MSE

    def run(self, model: Model, ctx: PassContext) -> SensitivityTable:
        """Measure all quantizers."""
        found = ctx.get(OneAtATime(self.bits, self.samples, self.method), model)
        setup = quantizer_setup(model.graph, ctx.target)
        power = max(found.power, 1e-30)

        def loss(change: Change) -> float:
            return change.noise / power

        return SensitivityTable(
            self.name,
            weight_losses(setup, found.weights, self.bits, loss),
            act_losses(setup, found.acts, self.bits, loss),
        )


def weight_losses(
    setup: QuantizerSetup,
    changes: Mapping[Key, Change],
    bits: tuple[int, ...],
    loss: Callable[[Change], float],
) -> dict[str, dict[int, float]]:
    """Return losses by layer and width; none for a layer without weights."""
    return {
        layer.name: {width: loss(changes[layer.name, width]) for width in bits} if layer.weight else {}
        for layer in setup.layers
    }


def act_losses(
    setup: QuantizerSetup,
    changes: Mapping[Key, Change],
    bits: tuple[int, ...],
    loss: Callable[[Change], float],
) -> dict[str, dict[int, float]]:
    """Return losses by layer and width; the first reader of a group bears what the group loses."""
    losses: dict[str, dict[int, float]] = {layer.name: dict.fromkeys(bits, 0.0) for layer in setup.layers}
    for group in setup.groups:
        if group.readers:
            for width in bits:
                losses[group.readers[0]][width] += loss(changes[group.name, width])
    return losses
