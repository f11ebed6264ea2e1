"""The ranges of the sums of one operator: which terms it adds, and how far each of them can go."""

from __future__ import annotations

from itertools import product
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx_graphsurgeon as gs

from passes.ir.layers import weight_matrix
from passes.ir.points import row_points
from passes.ir.weight_groups import multipliers
from passes.ir.weights import quantized_weight
from passes.lowering.bias import bias_codes, quantization_of
from passes.lowering.recurrent import state_bits
from passes.lowering.settings import setting
from passes.numerics import IntFormat

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from passes.artifact.points import Points
    from passes.ir.layers import Layer
    from passes.ir.plan import QuantPlan, TensorQuant

    Sums = NDArray[np.int64]

Span = tuple[int, int]
"""Least and greatest value of one quantity; zero lies between them."""

_SMALL_BITS = 8
"""Codes of so many bits fit 16, less a zero point as well."""
_MEANS = frozenset({"AveragePool", "GlobalAveragePool", "ReduceMean", "ReduceSum"})


def span(quant: TensorQuant) -> Span:
    """Return the range of ``code - zero_point`` of an activation, over all codes of its width."""
    fmt = IntFormat(quant.spec.format.bits, quant.spec.format.signed)
    zero = int(quant.params.zero_point)  # type: ignore[union-attr]
    return fmt.qmin - zero, fmt.qmax - zero


def layer_sums(layer: Layer, plan: QuantPlan) -> tuple[Sums, Sums] | None:
    """Return the least and the greatest sum of each output channel of a layer, its bias included.

    Exact where a window, or for a ConvTranspose the windows that overlap, lie inside the input: some element
    of the result then has every term.

    Returns:
        Two arrays of shape (channels,), or ``None`` when the length of the sums is known at run time only.
        Those of a recurrent layer hold the sums over its input, gate by gate, and then those over its state.

    Raises:
        LoweringError: the plan lacks a scale, or a bias does not fit 32 bits.
    """
    act = span(quantization_of(plan, layer.act.name, layer.name))
    if layer.weight is None:
        return _computed(layer, act, plan)
    if layer.recurrent:
        return _recurrent(layer, act, plan)
    negative, positive = _signed_sums(layer, quantization_of(plan, layer.weight.name, layer.name))
    lowest = (positive * act[0] + negative * act[1]).min(axis=0)
    highest = (positive * act[1] + negative * act[0]).max(axis=0)
    bias = bias_codes(layer, plan)
    if bias is None:
        return lowest, highest
    return lowest + np.minimum(bias, 0), highest + np.maximum(bias, 0)


def node_sums(node: gs.Node, operands: Sequence[Span]) -> Span | None:
    """Return the range of the sums of an operator without weights.

    Args:
        node: an Add, Sub, Mul, AveragePool, GlobalAveragePool or ReduceMean; others add nothing up.
        operands: ranges of what it reads.

    Returns:
        The range, or ``None`` when there is no sum, or its length is known at run time only.
    """
    if node.op == "Add":
        return sum(low for low, _ in operands), sum(high for _, high in operands)
    if node.op == "Sub":
        (low, high), (least, greatest) = operands
        return low - greatest, high - least
    if node.op == "Mul":
        return _product(*operands)
    count = _pooled(node) if node.op in _MEANS else None
    return None if count is None else (count * operands[0][0], count * operands[0][1])


def _product(left: Span, right: Span) -> Span:
    ends = [a * b for a in left for b in right]
    return min(ends), max(ends)


def _recurrent(layer: Layer, act: Span, plan: QuantPlan) -> tuple[Sums, Sums]:
    """Bound both products of a recurrent layer, whose biases are not part of the sums."""
    levels = (1 << state_bits(layer, plan) - 1) - 1
    lowest, highest = [], []
    for part, (low, high) in zip(layer.parts, (act, (-levels, levels)), strict=True):
        name = part.weight.name  # type: ignore[union-attr]
        negative, positive = _signed_sums(part, quantization_of(plan, name, layer.name))
        lowest.append((positive * low + negative * high)[0])
        highest.append((positive * high + negative * low)[0])
    return np.concatenate(lowest), np.concatenate(highest)


def _computed(layer: Layer, act: Span, plan: QuantPlan) -> tuple[Sums, Sums] | None:
    """Bound the product of two activations by its depth, which either of them may tell."""
    rhs = layer.rhs
    if rhs is None or layer.act.shape is None or rhs.shape is None:
        return None
    known = [extent for extent in (layer.act.shape[-1], rhs.shape[-2:][0]) if isinstance(extent, int)]
    if not known:
        return None
    low, high = _product(act, span(quantization_of(plan, rhs.name, layer.name)))
    return np.array([known[0] * low], np.int64), np.array([known[0] * high], np.int64)


def _signed_sums(layer: Layer, quant: TensorQuant) -> tuple[Sums, Sums]:
    """Return the sums of the negative and of the positive weights, each (overlaps, channels)."""
    widened, factors = row_points(layer, quant), multipliers(layer, quant)
    # Nothing is as large as the weights of a wide layer; sums are of 64 bits whatever they add up.
    small = widened is None and factors is None and quant.spec.format.bits <= _SMALL_BITS
    codes: NDArray[Any] = quantized_weight(layer, quant).astype(np.int16 if small else np.int64)
    if widened is not None:
        return _point_sums(layer, codes, widened[1])
    zero = quant.spec.granularity.expand(quant.params.zero_point, codes.shape)  # type: ignore[union-attr]
    codes -= zero.astype(codes.dtype)
    codes *= 1 if factors is None else quant.spec.granularity.expand(factors, codes.shape)
    parts = np.minimum(codes, 0), np.maximum(codes, 0)
    negative, positive = (_channel_sums(layer, part) for part in parts)
    return negative, positive


def _point_sums(layer: Layer, codes: Sums, points: Points) -> tuple[Sums, Sums]:
    """Count every point as terms of its own: no order in which points are added up goes further."""
    rows = np.moveaxis(codes, layer.channel_axis, 0).reshape(len(points.multiplier), -1)
    rows *= points.multiplier[:, None]
    ends = np.minimum(rows, 0).sum(axis=1), np.maximum(rows, 0).sum(axis=1)
    negative, positive = (points.sum_rows(end, 0)[None] for end in ends)
    return negative, positive


def _channel_sums(layer: Layer, codes: Sums) -> Sums:
    if layer.op != "ConvTranspose":
        return np.asarray(weight_matrix(layer, codes).sum(axis=2, dtype=np.int64).reshape(1, -1))
    split = codes.reshape(layer.groups, -1, *codes.shape[1:]).sum(axis=1, dtype=np.int64)
    taps = split.reshape(-1, *codes.shape[2:])
    return np.stack(
        [taps[(slice(None), *choice)].reshape(len(taps), -1).sum(axis=1) for choice in _overlaps(layer)]
    )


def _overlaps(layer: Layer) -> list[tuple[NDArray[np.intp], ...]]:
    """Return, for each way in which windows of a ConvTranspose overlap, the taps that meet in one element.

    Taps meet when they lie a multiple of the stride apart, on every axis.
    """
    kernel = layer.weight.shape[2:]  # type: ignore[union-attr]
    ones = [1] * len(kernel)
    strides = layer.node.attrs.get("strides") or ones
    dilations = layer.node.attrs.get("dilations") or ones
    axes = []
    for size, stride, dilation in zip(kernel, strides, dilations, strict=True):
        remainder = np.arange(size) * dilation % stride
        axes.append([np.flatnonzero(remainder == start) for start in np.unique(remainder)])
    return [np.ix_(*choice) for choice in product(*axes)]


def _pooled(node: gs.Node) -> int | None:
    """Return how many elements a mean is taken of, at most, or ``None`` when that is not known."""
    if node.op == "AveragePool":
        return prod(int(extent) for extent in node.attrs["kernel_shape"])
    shape = node.inputs[0].shape
    if shape is None:
        return None
    axes = range(2, len(shape)) if node.op == "GlobalAveragePool" else setting(node, "axes", 1)
    extents = [shape[int(axis)] for axis in axes]
    return prod(extents) if all(isinstance(extent, int) for extent in extents) else None
