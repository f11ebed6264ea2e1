"""`Weights`: the unpacked weights of one step, less their zero points, and the bounds of their sums."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from passes.artifact import WeightLayout
from qtool.runtime.node import Array, Node, reach


@dataclass(frozen=True, slots=True, eq=False)
class Weights:
    """Integers ``code - zero_point`` of one step, times the multiplier of their group or point if any.

    The points of a channel are added up beforehand: its sums are the same, as integers have no rounding.

    Attributes:
        codes: int16 or int32, of shape (out, taps, in / group), or (taps, out, 1) when stored as depthwise.
        channels: output channels of the step.
        scale: float64 (channels,), ``input scale * weight scale``.
        bias: int64 (channels,), zeros when the step has none.
        peak: greatest magnitude in `codes`.
        largest: bound on the magnitude of a sum of products with its bias.
    """

    codes: Array
    channels: int
    scale: NDArray[np.float64]
    bias: NDArray[np.int64]
    peak: int
    largest: int

    @classmethod
    def of(cls, node: Node) -> Weights:
        """Unpack the weights of a step."""
        packed = node.weight
        stored = packed.unpack_stored()
        rows = _rows(node)
        grouped_transpose = node.step.op == "conv_transpose" and packed.layout is WeightLayout.GROUPED
        if grouped_transpose:
            stored = _regroup(stored, node.step.integer("group"))
        axis = stored.ndim - 2 if packed.layout is WeightLayout.DEPTHWISE else 0
        zeros = np.broadcast_to(packed.zero_point, rows).reshape(-1, *[1] * (stored.ndim - 1 - axis))
        wide = np.int32 if packed.bits > 8 else np.int16
        codes = stored.astype(wide) - zeros.astype(wide)
        if packed.runs is not None:
            codes = codes * packed.runs.spread(codes.shape)
        if packed.points is not None:
            codes = packed.points.combine(codes, axis)
        channels = rows if packed.points is None else len(packed.points.counts)
        bias = np.zeros(channels, np.int64) if node.step.bias is None else np.asarray(node.step.bias)
        scale = np.float64(node.inputs[0].scale) * np.broadcast_to(packed.scale, channels).astype(np.float64)
        magnitude = np.abs(codes)
        sums = magnitude.sum(axis=tuple(i for i in range(codes.ndim) if i != axis), dtype=np.int64)
        largest = int(sums.max()) * reach(node.inputs[0]) + int(np.abs(bias).max())
        return cls(codes, channels, scale, bias, max(1, int(magnitude.max())), largest)

    def scale_shape(self, rank: int) -> tuple[int, ...]:
        """Shape in which a vector per channel broadcasts against (batch, channel, spatial ...)."""
        return (1, self.channels, *[1] * (rank - 2))


def _rows(node: Node) -> int:
    shape, layout = node.weight.shape, node.weight.layout
    if node.step.op == "conv_transpose":
        return shape[1] * node.step.integer("group")
    return shape[1] if layout is WeightLayout.IN_OUT else shape[0]


def _regroup(stored: Array, group: int) -> Array:
    """Turn (in, taps, out / group) of a grouped transposed convolution into (out, taps, in / group)."""
    first, second = stored.shape[0], stored.shape[-1]
    parts = stored.reshape(group, first // group, *stored.shape[1:])
    moved = np.moveaxis(np.moveaxis(parts, -1, 1), 2, -1)
    return np.ascontiguousarray(moved).reshape(group * second, *stored.shape[1:-1], first // group)
