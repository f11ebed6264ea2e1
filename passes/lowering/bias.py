"""Biases as integers: one code is the product of the activation's and the weight's scale."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from passes.errors import LoweringError
from passes.ir.weight_groups import base_scale

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from passes.ir.layers import Layer
    from passes.ir.plan import QuantPlan, TensorQuant

INT32_MAX = 2**31 - 1


def quantization_of(plan: QuantPlan, tensor: str, layer: str) -> TensorQuant:
    """Return the decision for a tensor that a layer needs.

    Raises:
        LoweringError: the plan says nothing about it, or its scale was never assigned.
    """
    quant = plan.tensors.get(tensor)
    if quant is None or quant.params is None:
        raise LoweringError(
            f"layer {layer}: the plan has no scale for tensor {tensor!r}; run assign-scales first"
        )
    return quant


def accumulator_scale(layer: Layer, plan: QuantPlan) -> NDArray[np.float32]:
    """Return the value of one accumulator step per output channel: float32, shape (channels,)."""
    name = layer.weight.name if layer.weight is not None else layer.rhs.name  # type: ignore[union-attr]
    act = quantization_of(plan, layer.act.name, layer.name).params
    other = base_scale(layer, quantization_of(plan, name, layer.name))
    scale = np.atleast_1d(act.scale * other).astype(np.float32)  # type: ignore[union-attr]
    return np.tile(scale, layer.groups) if layer.op == "ConvTranspose" and scale.size > 1 else scale


def bias_values(layer: Layer, plan: QuantPlan) -> NDArray[np.float64] | None:
    """Return the bias in real units, shape (channels,): of the plan, else of the model, else ``None``.

    Those of a recurrent layer are none: they are added to its gates, not to sums of products.
    """
    if layer.recurrent:
        return None
    if layer.name in plan.biases:
        return np.asarray(plan.biases[layer.name], dtype=np.float64)
    return None if layer.bias is None else np.asarray(layer.bias.values, dtype=np.float64).reshape(-1)


def bias_codes(layer: Layer, plan: QuantPlan) -> NDArray[np.int64] | None:
    """Return the bias in accumulator steps, shape (channels,), or ``None`` when there is none.

    Raises:
        LoweringError: a code does not fit 32 bits (the scales are too small for the bias), or the plan's bias
            does not have one value per output channel.
    """
    values = bias_values(layer, plan)
    if values is None:
        return None
    scale = accumulator_scale(layer, plan).astype(np.float64)
    if scale.size not in (1, values.size):
        raise LoweringError(
            f"layer {layer.name}: expected {scale.size} bias values in the plan, found {values.size}"
        )
    codes = np.rint(values / scale)
    if np.abs(codes).max(initial=0) > INT32_MAX:
        raise LoweringError(f"layer {layer.name}: the bias needs more than 32 bits at its accumulator scale")
    return codes.astype(np.int64)
