"""What forms with Q/DQ or Quant nodes share beside those nodes: layers in floating point, and constants."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from onnx import numpy_helper

from passes.lowering.bias import quantization_of
from passes.lowering.made_names import made
from passes.lowering.methods import constant_codes

if TYPE_CHECKING:
    from collections.abc import Callable

    import onnx_graphsurgeon as gs

    from passes.ir.layers import Layer
    from passes.ir.plan import QuantPlan, TensorQuant
    from passes.lowering.emission import Emission


def emit_float(
    layer: Layer, plan: QuantPlan, emission: Emission, emit_weight: Callable[[Layer, TensorQuant], None]
) -> None:
    """Let a layer read its activation as it is, and its weight from integers where the plan stores it so.

    Args:
        layer: stays in floating point.
        plan: quantization of its weights, if any, and its bias, if corrected.
        emission: to add to.
        emit_weight: adds a weight, or a part of one, and renames it in the emission.
    """
    own: dict[str, str] = {}
    for part in layer.parts:
        name = part.weight_name
        if name in plan.tensors:
            emit_weight(part, quantization_of(plan, name, layer.name))
            own[name] = emission.renamed[name]
    if layer.name in plan.biases:
        bias = made(layer.name, "bias.float")
        values = np.asarray(plan.biases[layer.name], dtype=np.float32)
        emission.initializers.append(numpy_helper.from_array(values, bias))
        if layer.bias is None:
            emission.added_inputs[layer.name] = bias
        else:
            own[layer.bias.name] = bias
    emission.own[layer.name] = own


def emit_constant(constant: gs.Constant, emission: Emission) -> None:
    """Round a constant operand to the values that the packed form has for it."""
    codes, scale = constant_codes(constant.values)
    name = made(constant.name, "rounded")
    emission.initializers.append(numpy_helper.from_array((codes * scale).astype(np.float32), name))
    emission.renamed[constant.name] = name
