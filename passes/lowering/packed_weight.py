"""The weight of a layer in the packed artifact."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from passes.artifact import PackedWeight, WeightLayout
from passes.ir.points import row_points
from passes.ir.weight_groups import base_scale, multipliers
from passes.ir.weights import quantized_weight
from passes.lowering.bias import quantization_of
from passes.numerics import PerGroup

if TYPE_CHECKING:
    from passes.ir.layers import Layer
    from passes.ir.plan import QuantPlan


def packed_weight(layer: Layer, plan: QuantPlan) -> PackedWeight:
    """Return the weight of a layer as its plan has it, in the order in which kernels read it."""
    name = layer.weight.name  # type: ignore[union-attr]
    quant = quantization_of(plan, name, layer.name)
    scale, factors = np.atleast_1d(base_scale(layer, quant)), multipliers(layer, quant)
    zero = np.atleast_1d(quant.params.zero_point).astype(np.int64)  # type: ignore[union-attr]
    parts = row_points(layer, quant)
    zero = zero if factors is None and parts is None else np.zeros(1, np.int64)
    if layer.op == "ConvTranspose" and scale.size > 1:
        scale, zero = np.tile(scale, layer.groups), np.tile(zero, layer.groups)
    codes = quantized_weight(layer, quant)
    codes = codes[0] if layer.recurrent else codes
    layout, fmt = _layout(layer), quant.spec.format
    if quant.levels is not None:
        return PackedWeight.pack_levels(codes, quant.levels, name=name, layout=layout, scale=scale)
    packed = PackedWeight.pack(codes, name=name, layout=layout, fmt=fmt, scale=scale, zero_point=zero)
    packed = packed if parts is None else replace(packed, points=parts[1])
    size = quant.spec.granularity.size if isinstance(quant.spec.granularity, PerGroup) else 0
    return packed if factors is None else packed.grouped(factors, size)


def _layout(layer: Layer) -> WeightLayout:
    if layer.depthwise:
        return WeightLayout.DEPTHWISE
    if layer.groups > 1:
        return WeightLayout.GROUPED
    by_rows = layer.op == "Conv" or layer.recurrent or layer.channel_axis == 0
    if layer.op == "ConvTranspose" or not by_rows:
        return WeightLayout.IN_OUT
    return WeightLayout.OUT_IN
