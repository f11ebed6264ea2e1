"""Attribution scaled by measurement: one run of the network per quantizer instead of one per width.

Attribution knows how the error of a quantizer grows as bits go, but not how much of it reaches the output;
one measurement of each quantizer at one width tells that. Everything else follows by proportion.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from passes.analysis.attribution import Attribution
from passes.analysis.one_at_a_time import affordable
from passes.analysis.output_sqnr import OutputSqnr
from passes.analysis.sensitivity import Losses, SensitivityTable
from passes.api import Analysis, Aspect, PassContext
from passes.ir.setup import quantizer_setup
from passes.numerics import RangeMethod

if TYPE_CHECKING:
    from collections.abc import Mapping

    from passes.ir.model import Model

ANCHOR_BITS = 4
"""Width of the measurement: its noise is well above what a few samples resolve, and well below chaos."""

ANCHOR_PASSES = 8.0
"""Cost of all measurements to aim at, in passes of the float model over the calibration data."""


@dataclass(frozen=True)
class ScaledAttribution(Analysis[SensitivityTable]):
    """Losses in units of noise over signal at the output, for every width.

    Attributes:
        bits: widths to score.
        samples: calibration samples per measurement; 0 for as many as cost about `ANCHOR_PASSES` passes.
        method: range estimator of activations.
    """

    name: ClassVar[str] = "scaled"
    reads: ClassVar[Aspect] = Aspect.GRAPH | Aspect.WEIGHTS
    bits: tuple[int, ...] = (2, 3, 4, 5, 6, 7, 8)
    samples: int = 0
    method: RangeMethod = RangeMethod.MSE

    def run(self, model: Model, ctx: PassContext) -> SensitivityTable:
        """Combine both."""
        widths = tuple(sorted({*self.bits, ANCHOR_BITS}))
        shape = ctx.get(Attribution(widths, self.method), model)
        setup = quantizer_setup(model.graph, ctx.target)
        runs, count = len(setup.layers) + len(setup.groups), ctx.calibration.count
        samples = self.samples or affordable(runs, count, ANCHOR_PASSES)
        measured = ctx.get(OutputSqnr((ANCHOR_BITS,), samples, self.method), model)
        readers = {group.name: group.readers for group in setup.groups if group.readers}
        acts: dict[str, Mapping[int, float]] = {}
        for names in readers.values():
            # What was measured for a group is shared out among the layers that read it.
            total = sum(shape.acts[name][ANCHOR_BITS] for name in names)
            noise = sum(measured.acts[name][ANCHOR_BITS] for name in names)
            for name in names:
                acts[name] = _scaled(shape.acts[name], noise / max(total, 1e-30))
        return SensitivityTable(self.name, _weights(shape.weights, measured.weights), acts)


def _weights(shape: Losses, measured: Losses) -> dict[str, Mapping[int, float]]:
    return {
        name: _scaled(losses, measured[name][ANCHOR_BITS] / max(losses[ANCHOR_BITS], 1e-30)) if losses else {}
        for name, losses in shape.items()
    }


def _scaled(losses: Mapping[int, float], factor: float) -> dict[int, float]:
    return {bits: loss * factor for bits, loss in losses.items()}
