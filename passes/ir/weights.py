"""The integers that stand for the weight of a layer under a plan."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from passes.errors import PlanError
from passes.ir.points import checked_rows, combined_codes, row_points
from passes.numerics import dequantize, quantize
from passes.numerics.levels import nearest_level

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from passes.ir.layers import Layer
    from passes.ir.plan import TensorQuant


def quantized_weight(layer: Layer, quant: TensorQuant) -> NDArray[np.integer]:
    """Return the codes of a layer's weight, in ONNX layout: the plan's, or else the nearest.

    A weight with points has a row where others have an output channel.

    Raises:
        PlanError: the plan's codes are for a weight of another shape.
    """
    if quant.points is not None:
        return checked_rows(layer, quant)
    values = layer.weight_values()
    if quant.codes is None and quant.levels is not None:
        return nearest_level(steps_of(values, quant), quant.levels)
    if quant.codes is None:
        return quantize(values, quant.spec, quant.params)  # type: ignore[arg-type]
    if quant.codes.shape != values.shape:
        raise PlanError(
            f"layer {layer.name}: the weight has shape {values.shape}, its codes in the plan "
            f"{quant.codes.shape}; the plan is for another form of the model"
        )
    return quant.codes


def steps_of(values: NDArray[np.float32], quant: TensorQuant) -> NDArray[np.float64]:
    """Return values over the scales of their quantization, not rounded."""
    scale = quant.spec.granularity.expand(quant.params.scale, values.shape)  # type: ignore[union-attr]
    return np.asarray(values.astype(np.float64) / scale)


def rounded_weight(layer: Layer, quant: TensorQuant) -> NDArray[np.float32]:
    """Return the values that the codes of a layer's weight stand for, in ONNX layout, points added up.

    Raises:
        PlanError: the plan's codes or points are for a weight of another shape.
    """
    parts = row_points(layer, quant)
    if parts is not None:
        base, points = parts
        codes = combined_codes(layer, quant, points)
        return np.asarray(codes * quant.spec.granularity.expand(base, codes.shape), dtype=np.float32)
    return dequantize(quantized_weight(layer, quant), quant.spec, quant.params)  # type: ignore[arg-type]
