"""Attribution scaled by measurement: two runs of the network per quantizer instead of one per width.

Attribution knows how the error of a quantizer grows as bits go, but not how much of it reaches the output;
measurements of each quantizer at two widths tell that. One would do if networks were linear: large errors
saturate, and then too little of them arrives. Between the two the share that arrives is interpolated.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from passes.analysis.attribution import Attribution
from passes.analysis.one_at_a_time import affordable
from passes.analysis.output_kl import OutputKl
from passes.analysis.sensitivity import Losses, SensitivityTable
from passes.api import Analysis, Aspect, PassContext
from passes.ir.setup import quantizer_setup
from passes.numerics import RangeMethod

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from passes.ir.model import Model

ANCHORS = (3, 5)
"""Widths of the measurements: where networks begin to saturate, and where harm is small but well above what
a few samples resolve. Below and above, the share that arrives is taken to be that of the nearest one."""

ANCHOR_PASSES = 16.0
"""Cost of all measurements to aim at, in passes of the float model over the calibration data."""

LEAST_SHARE = 1e-9
"""What is taken to arrive of an error at the least: zero has no logarithm."""


@dataclass(frozen=True)
class ScaledAttribution(Analysis[SensitivityTable]):
    """Losses in nats of divergence at the output, or in noise over signal where outputs are no distribution.

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
        shape = ctx.get(Attribution(tuple(sorted({*self.bits, *ANCHORS})), self.method), model)
        setup = quantizer_setup(model.graph, ctx.target)
        runs, count = len(setup.layers) + len(setup.groups), ctx.calibration.count
        samples = self.samples or affordable(len(ANCHORS) * runs, count, ANCHOR_PASSES)
        measured = ctx.get(OutputKl(ANCHORS, samples, self.method), model)
        acts: dict[str, Mapping[int, float]] = {}
        for group in setup.groups:
            # What was measured for a group is shared out among the layers that read it.
            total, noise = (_summed(table.acts, group.readers) for table in (shape, measured))
            acts |= {name: _scaled(shape.acts[name], total, noise) for name in group.readers}
        weights = {
            name: _scaled(losses, losses, measured.weights[name]) for name, losses in shape.weights.items()
        }
        return SensitivityTable(self.name, weights, acts)


def _summed(losses: Losses, names: Iterable[str]) -> dict[int, float]:
    """Return the losses of some layers together at the widths that are measured."""
    return {bits: math.fsum(losses[name][bits] for name in names) for bits in ANCHORS}


def _scaled(
    losses: Mapping[int, float], shape: Mapping[int, float], measured: Mapping[int, float]
) -> dict[int, float]:
    """Return losses times the share that arrives, whose logarithm is interpolated over widths."""
    known = [bits for bits in ANCHORS if bits in shape and shape[bits] > 0.0]
    if not known:
        return dict(losses)
    shares = [math.log(max(measured[bits] / shape[bits], LEAST_SHARE)) for bits in known]
    return {bits: loss * math.exp(float(np.interp(bits, known, shares))) for bits, loss in losses.items()}
