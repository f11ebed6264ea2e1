"""Emitter of QONNX: float operators between ``Quant`` nodes (domain qonnx.custom_op.general, version 1).

``Quant(x, scale, zero, bits)`` is ``(clip(round(x / scale + zero)) - zero) * scale`` (QONNX, custom operator
documentation), any width from 2 bits on. It adds the zero point before it rounds and ONNX does so behind: the
two differ for ties where the zero point is odd, and nowhere else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx
from onnx import helper, numpy_helper

from passes.errors import LoweringError
from passes.ir.float_layers import fitted
from passes.ir.kinds import constant_operand
from passes.ir.onnx_io import to_proto
from passes.ir.plan import Role
from passes.ir.weights import rounded_weight
from passes.lowering.accumulators import check_accumulators
from passes.lowering.beside import emit_constant, emit_float
from passes.lowering.bias import accumulator_scale, bias_codes, quantization_of
from passes.lowering.emission import Emission, assemble
from passes.lowering.made_names import made
from passes.numerics import IntFormat, PerGroup

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from passes.ir.layers import Layer
    from passes.ir.model import Model
    from passes.ir.plan import TensorQuant
    from passes.ir.setup import QuantizerSetup

DOMAIN = "qonnx.custom_op.general"
BIAS_BITS = 32


def emit_qonnx(model: Model, setup: QuantizerSetup, base: onnx.ModelProto | None = None) -> onnx.ModelProto:
    """Lower a model and its plan to QONNX.

    Weights are stored as the floats that their codes stand for, biases as the multiples of their steps.

    Args:
        model: graph and plan; neither is changed.
        setup: the quantizable part of the graph.
        base: the graph as a protobuf, where there is one already; it is not changed.

    Raises:
        LoweringError: the plan lacks a scale, has scales of groups or points, or signed codes of one bit,
            which QONNX reads as -1 and 1.
    """
    setup = fitted(setup, model.plan)
    check_accumulators(model, setup)
    emission = Emission(domains={DOMAIN})
    for layer in setup.layers:
        _emit_bias(layer, model, emission)
        for part in layer.parts:
            _emit_weight(part, quantization_of(model.plan, part.weight.name, layer.name), emission)  # type: ignore[union-attr]
    for layer in setup.floats:
        emit_float(layer, model.plan, emission, lambda part, quant: _emit_weight(part, quant, emission))
    for node in model.graph.nodes:
        constant = constant_operand(node) if node.name in setup.nodes else None
        if constant is not None:
            emit_constant(constant, emission)
    for name, quant in model.plan.tensors.items():
        if quant.role is Role.ACT:
            params = quantization_of(model.plan, name, name).params
            _quant(name, name, quant.spec.format, (params.scale, params.zero_point), emission)  # type: ignore[union-attr]
    proto = to_proto(model) if base is None else onnx.ModelProto.FromString(base.SerializeToString())
    return assemble(proto, emission)


def _emit_bias(layer: Layer, model: Model, emission: Emission) -> None:
    codes = bias_codes(layer, model.plan)
    if codes is None:
        return
    name = layer.bias.name if layer.bias is not None else made(layer.name, "bias")
    if layer.bias is None:
        emission.added_inputs[layer.name] = name
    scale = accumulator_scale(layer, model.plan)
    scale = scale if scale.size > 1 else scale.reshape(())
    values = codes.astype(np.float32) * scale
    emission.initializers.append(numpy_helper.from_array(values, made(name, "rounded")))
    _quant(name, made(name, "rounded"), None, (scale, np.zeros_like(scale)), emission)


def _emit_weight(layer: Layer, quant: TensorQuant, emission: Emission) -> None:
    name, granularity = layer.weight.name, quant.spec.granularity  # type: ignore[union-attr]
    if isinstance(granularity, PerGroup) or quant.points is not None:
        raise LoweringError(
            f"layer {layer.name}: QONNX has no scales of groups and no points; expected one scale for a "
            "tensor or a channel: leave out --group-size and multipoint"
        )
    values = rounded_weight(layer, quant)
    emission.initializers.append(numpy_helper.from_array(np.ascontiguousarray(values), made(name, "rounded")))
    params = quant.params
    scale, zero = (granularity.expand(it, values.shape) for it in (params.scale, params.zero_point))  # type: ignore[union-attr]
    _quant(name, made(name, "rounded"), quant.spec.format, (scale, zero), emission)


def _quant(
    name: str,
    source: str,
    fmt: IntFormat | None,
    numbers: tuple[NDArray[np.float32], NDArray[np.generic]],
    emission: Emission,
) -> None:
    """Put a Quant behind a tensor; without a format, of the 32 bits of a bias."""
    if fmt is not None and fmt.bits == 1 and fmt.signed:
        raise LoweringError(f"tensor {name!r}: signed codes of one bit are -1 and 1 in QONNX; give it two")
    bits = BIAS_BITS if fmt is None else fmt.bits
    parts = (*numbers, np.array(bits))
    names = [made(name, label) for label in ("scale", "zero_point", "bits")]
    for label, values in zip(names, parts, strict=True):
        emission.initializers.append(numpy_helper.from_array(np.asarray(values, np.float32), label))
    node = helper.make_node(
        "Quant", [source, *names], [made(name, "dq")], name=made(name, "quant"), domain=DOMAIN,
        signed=int(fmt is None or fmt.signed), narrow=int(fmt is not None and fmt.narrow_range),
        rounding_mode="ROUND",
    )  # fmt: skip
    emission.at(name if source == name else "").append(node)
    emission.renamed[name] = made(name, "dq")
