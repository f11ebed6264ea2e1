"""Balance channels: scale the channels of activations so that they fill the range that they share."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from passes.api import Aspect, Pass, PassContext, PassResult
from passes.errors import PlanError, UsageError
from passes.execution.peaks import channel_peaks
from passes.ir.setup import quantizer_setup
from passes.transform.streams import Stream, find_streams, scale_stream

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from passes.ir.model import Model

    Vector = NDArray[np.float64]

LEAST = 1e-3
"""Peaks and weights below this part of the largest count as this part: dead channels are not blown up."""


@dataclass(frozen=True)
class Balance(Pass):
    """Move scale between the channels of activations and the weights that read them, by calibration data.

    The factor of a channel is ``a**alpha / w**(1 - alpha)`` of its largest activation and the largest weight
    that reads it [Xiao et al. 2023, SmoothQuant, arXiv 2211.10438, eq. 4], through Relu, pooling and the sums
    of residual connections. Readers with a scale per channel of their own (depthwise convolutions) do not
    mind, so that alpha is 1 before them. Through a Clip, as of Relu6, only channels that stay below its bound
    on all calibration data are scaled, and never so far that they would reach it.

    The factors go into the plan, so that the pass gives the same graph again without data.

    Attributes:
        alpha: share of the difference between channels that is taken out of the activations.
        margin: how far below the bound of a Clip the largest value seen must be kept, as a factor.
    """

    name: ClassVar[str] = "balance"
    alpha: float = 0.5
    margin: float = 1.1

    def run(self, model: Model, ctx: PassContext) -> PassResult:
        """Scale every stream, by the plan's own factors where there are no data.

        Raises:
            UsageError: there are neither calibration data nor factors in the plan.
            PlanError: the plan's factors do not fit the graph.
        """
        streams = find_streams(model.graph)
        if not streams:
            return PassResult(Aspect.NONE, "no stream of channels can be scaled", {"streams": 0})
        if ctx.calibration is not None:
            factors = self._measured(streams, model, ctx)
        elif model.plan.channel_factors:
            factors = _planned(streams, model.plan.channel_factors)
        else:
            raise UsageError("balance needs calibration data; give --calib")
        for stream in streams:
            scale_stream(stream, factors[stream.tensors[0]])
        model.plan = replace(model.plan, channel_factors=factors)
        wrote = Aspect.WEIGHTS | Aspect.PLAN
        return PassResult(wrote, f"{len(streams)} streams balanced", {"streams": len(streams)})

    def _measured(
        self, streams: list[Stream], model: Model, ctx: PassContext
    ) -> dict[str, tuple[float, ...]]:
        quantized = quantizer_setup(model.graph, ctx.target).group_of()
        seen = [[name for name in stream.tensors if name in quantized] for stream in streams]
        names = [name for part in seen for name in part]
        peaks = channel_peaks(model, names, ctx.calibration, ctx.workers)
        factors = {}
        for stream, part in zip(streams, seen, strict=True):
            channels = stream.writers[0].weight.shape[0]  # type: ignore[union-attr]
            peak = np.max([peaks[name] for name in part] or [np.ones(channels)], axis=0)
            found = self.factors(peak, _read_range(stream), stream.bound)
            # Powers of two would be exact; float32 is near enough, and what the plan holds is what is applied.
            factors[stream.tensors[0]] = tuple(found.astype(np.float32).tolist())
        return factors

    def factors(self, peak: Vector, weight: Vector | None, bound: float | None) -> Vector:
        """Return by what the activations of each channel are divided, shape (channels,).

        Args:
            peak: largest magnitude of each channel.
            weight: largest weight that reads each, or ``None`` where readers do not mind.
            bound: of the Clip that limits the channels, if there is one.
        """
        top = peak.max()
        if not top > 0:
            return np.ones_like(peak)
        share = np.maximum(peak / top, LEAST)
        factor = share
        if weight is not None and weight.max() > 0:
            read = np.maximum(weight / weight.max(), LEAST)
            factor = share**self.alpha / read ** (1 - self.alpha)
        if bound is None:
            return np.asarray(factor / np.exp(np.log(factor).mean()))
        clipped = peak * self.margin >= bound
        factor = factor / (np.median(factor[clipped]) if clipped.any() else factor.max())
        return np.where(clipped, 1.0, np.maximum(factor, peak * self.margin / bound))


def _read_range(stream: Stream) -> Vector | None:
    dense = [layer for layer in stream.readers if not layer.depthwise]
    ranges = [np.abs(it.weight_values()).max(axis=(0, *range(2, len(it.weight.shape)))) for it in dense]  # type: ignore[union-attr]
    return np.max(ranges, axis=0).astype(np.float64) if ranges else None


def _planned(
    streams: list[Stream], factors: dict[str, tuple[float, ...]]
) -> dict[str, tuple[float, ...]]:
    for stream in streams:
        found, channels = factors.get(stream.tensors[0], ()), stream.writers[0].weight.shape[0]  # type: ignore[union-attr]
        if len(found) != channels or not all(value > 0 for value in found):
            raise PlanError(
                f"plan: channel_factors of {stream.tensors[0]!r}: expected {channels} positive numbers, "
                f"found {len(found)}"
            )
    return {stream.tensors[0]: factors[stream.tensors[0]] for stream in streams}
