"""Emitters of QuantizeLinear/DequantizeLinear models: ``qdq`` (native narrow types) and ``qcdq``.

Every quantized activation becomes ``QuantizeLinear -> [Clip] -> DequantizeLinear`` where it is computed;
weights and biases become integer initializers behind a DequantizeLinear. The Clip stands between the two,
on integers, which keeps ONNX Runtime on its integer kernels.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import onnx
from onnx import helper, numpy_helper

from passes.ir.float_layers import fitted
from passes.ir.kinds import constant_operand
from passes.ir.onnx_io import to_proto
from passes.ir.opsets import highest_opset
from passes.ir.plan import Role
from passes.ir.points import row_points
from passes.ir.weight_groups import multipliers
from passes.ir.weights import quantized_weight
from passes.lowering.accumulators import check_accumulators
from passes.lowering.beside import emit_constant, emit_float
from passes.lowering.bias import accumulator_scale, bias_codes, quantization_of
from passes.lowering.blocked import blocked_dequantize, must_detach
from passes.lowering.emission import Emission, assemble
from passes.lowering.encoding import (
    INT4_OPSET,
    Encoding,
    Form,
    act_encoding,
    alike_weight,
    codes_tensor,
    weight_encoding,
)
from passes.lowering.made_names import made
from passes.lowering.narrow_acts import native4_tensors
from passes.lowering.nbits import emit_blocks, has_blocks
from passes.lowering.qonnx import emit_qonnx
from passes.lowering.saturate import saturate_codes
from passes.lowering.widened import Widening, bias_shape
from passes.numerics import PerChannel

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray

    from passes.ir.layers import Layer
    from passes.ir.model import Model
    from passes.ir.plan import TensorQuant
    from passes.ir.setup import QuantizerSetup

KERNEL_BITS = 32
"""Width of the sums in the integer kernels of ONNX Runtime, which runs wider operands in floating point."""


def emit_qdq(
    model: Model, setup: QuantizerSetup, form: Form, base: onnx.ModelProto | None = None
) -> onnx.ModelProto:
    """Lower a model and its plan to Q/DQ ONNX.

    Args:
        model: graph and plan; neither is changed.
        setup: the quantizable part of the graph.
        form: native narrow types, 8-bit containers, or another spelling.
        base: the graph as a protobuf, where there is one already; it is not changed.

    Returns:
        A model at the lowest opset that holds the types it uses.

    Raises:
        LoweringError: the plan lacks a scale, a bias does not fit 32 bits, or a sum could overflow.
    """
    if form is Form.QONNX:
        return emit_qonnx(model, setup, base)
    return saturate_codes(emit_unsaturated(model, setup, form, base))


def emit_unsaturated(
    model: Model,
    setup: QuantizerSetup,
    form: Form,
    base: onnx.ModelProto | None = None,
    *,
    alike: bool = False,
) -> onnx.ModelProto:
    """Lower as `emit_qdq` does, but leave every Clip of the model in floating point.

    Args:
        model: as for `emit_qdq`.
        setup: as for `emit_qdq`.
        form: as for `emit_qdq`.
        base: as for `emit_qdq`.
        alike: use containers and Clips such that all plans of at most 8 bits give the same nodes and types.
    """
    setup = fitted(setup, model.plan)
    check_accumulators(model, setup, KERNEL_BITS)
    emission, highest = Emission(), highest_opset(model.graph)

    def emit_weight(part: Layer, quant: TensorQuant, *, same_types: bool = False) -> None:
        fmt = quant.spec.format
        encoding = alike_weight(fmt) if same_types and fmt.bits <= 8 else weight_encoding(fmt, form, highest)
        _emit_part(part, quant, form, encoding, emission)

    for layer in setup.layers:
        _emit_bias(layer, model, emission)
        for part in layer.parts:
            emit_weight(part, quantization_of(model.plan, part.weight_name, layer.name), same_types=alike)
    for layer in setup.floats:
        emit_float(layer, model.plan, emission, emit_weight)
    for node in model.graph.nodes:
        constant = constant_operand(node) if node.name in setup.nodes else None
        if constant is not None:
            emit_constant(constant, emission)
    native4 = native4_tensors(model, setup) if form is Form.QDQ else frozenset()
    for name, quant in model.plan.tensors.items():
        if quant.role is Role.ACT:
            chosen = act_encoding(quant.spec.format, form, native4=name in native4)
            chosen = replace(chosen, clip=chosen.clip or (alike and chosen.bits == 8))
            _emit_activation(name, quantization_of(model.plan, name, name), chosen, emission)
    return assemble(to_proto(model) if base is None else _copy(base), emission)


def emit_activations(
    proto: onnx.ModelProto, tensors: Mapping[str, TensorQuant], floats: Iterable[str] = ()
) -> onnx.ModelProto:
    """Return a float model with Q/DQ pairs, in 8- or 16-bit containers, at some of its activations only.

    Args:
        proto: the float model; not changed.
        tensors: quantization of each, with parameters.
        floats: nodes that go on reading the float values.
    """
    emission = Emission(own={name: {} for name in floats})
    for name, quant in tensors.items():
        _emit_activation(name, quant, act_encoding(quant.spec.format, Form.QCDQ, native4=False), emission)
    return assemble(_copy(proto), emission)


def _copy(proto: onnx.ModelProto) -> onnx.ModelProto:
    copy = onnx.ModelProto()
    copy.CopyFrom(proto)
    return copy


def _emit_bias(layer: Layer, model: Model, emission: Emission) -> None:
    codes = bias_codes(layer, model.plan)
    if codes is None:
        return
    scale = accumulator_scale(layer, model.plan)
    scale = np.broadcast_to(scale, codes.shape) if scale.size > 1 else scale
    name = layer.bias.name if layer.bias is not None else made(layer.name, "bias")
    if layer.bias is None:
        emission.added_inputs[layer.name] = name
    stored = codes.astype(np.int32).reshape(bias_shape(layer, model.plan))
    emission.initializers.append(numpy_helper.from_array(stored, made(name, "q")))
    _dequantize(name, "", scale, None, 0 if scale.size > 1 else None, emission)


def _emit_part(layer: Layer, quant: TensorQuant, form: Form, encoding: Encoding, emission: Emission) -> None:
    if form is Form.NBITS and has_blocks(layer, quant):
        emit_blocks(layer, quant, emission)
    else:
        _emit_weight(layer, quant, encoding, emission)


def _emit_weight(layer: Layer, quant: TensorQuant, encoding: Encoding, emission: Emission) -> None:
    name = layer.weight.name  # type: ignore[union-attr]
    codes = quantized_weight(layer, quant)
    parts = row_points(layer, quant)
    if parts is not None:
        widening = Widening(layer, *parts)
        quant = widening.rows(quant)
        emission.initializers.extend(widening.constants())
        emission.replaced[layer.name] = widening.replace
    if multipliers(layer, quant) is not None:
        _emit_blocked(name, quant, codes, encoding, emission)
        return
    axis = quant.spec.granularity.axis if isinstance(quant.spec.granularity, PerChannel) else None
    emission.opset = max(emission.opset, encoding.opset)
    detached = encoding.bits == 2
    stored = codes[..., None] if detached else codes
    emission.initializers.append(codes_tensor(made(name, "q"), stored, encoding))
    zero = _zero_tensor(made(name, "zero_point"), quant, encoding, emission)
    _dequantize(name, "", np.asarray(quant.params.scale), zero, axis, emission)  # type: ignore[union-attr]
    if detached:
        _detach(name, codes.shape, emission)


def _emit_blocked(
    name: str, quant: TensorQuant, codes: NDArray[np.integer], encoding: Encoding, emission: Emission
) -> None:
    node, tensors = blocked_dequantize(name, quant, codes, encoding)
    emission.opset = max(emission.opset, encoding.opset, INT4_OPSET)
    emission.initializers.extend(tensors)
    emission.at("").append(node)
    if must_detach(encoding):
        _detach(name, codes.shape, emission)
    emission.renamed.setdefault(name, made(name, "dq"))


def _detach(name: str, shape: tuple[int, ...], emission: Emission) -> None:
    """Put a Reshape between an INT2 weight, or a blocked one, and its layer.

    ONNX Runtime 1.31 fuses DequantizeLinear into integer kernels that do not know INT2, and then refuses the
    model; a Reshape between the two stops the fusion and costs nothing at run time.
    """
    emission.initializers.append(
        numpy_helper.from_array(np.array(shape, dtype=np.int64), made(name, "shape"))
    )
    emission.renamed[name] = made(name, "flat")
    emission.at("").append(
        helper.make_node(
            "Reshape",
            [made(name, "dq"), made(name, "shape")],
            [made(name, "flat")],
            name=made(name, "reshape"),
        )
    )


def _emit_activation(name: str, quant: TensorQuant, encoding: Encoding, emission: Emission) -> None:
    params = quant.params
    emission.opset = max(emission.opset, encoding.opset)
    zero = _zero_tensor(made(name, "zero_point"), quant, encoding, emission)
    scale = np.asarray(params.scale).reshape(())  # type: ignore[union-attr]
    codes = made(name, "q")
    emission.initializers.append(numpy_helper.from_array(scale, made(name, "scale")))
    emission.at(name).append(
        helper.make_node(
            "QuantizeLinear", [name, made(name, "scale"), zero], [codes], name=made(name, "quantize")
        )
    )
    if encoding.clip:
        codes = _clip(name, quant, encoding, emission)
    emission.at(name).append(
        helper.make_node(
            "DequantizeLinear",
            [codes, made(name, "scale"), zero],
            [made(name, "dq")],
            name=made(name, "dequantize"),
        )
    )
    emission.renamed[name] = made(name, "dq")


def _clip(name: str, quant: TensorQuant, encoding: Encoding, emission: Emission) -> str:
    bounds = []
    for label, value in (("min", quant.spec.format.qmin), ("max", quant.spec.format.qmax)):
        emission.initializers.append(codes_tensor(made(name, label), np.array(value), encoding))
        bounds.append(made(name, label))
    emission.at(name).append(
        helper.make_node("Clip", [made(name, "q"), *bounds], [made(name, "clipped")], name=made(name, "clip"))
    )
    return made(name, "clipped")


def _zero_tensor(name: str, quant: TensorQuant, encoding: Encoding, emission: Emission) -> str:
    zero = np.asarray(quant.params.zero_point)  # type: ignore[union-attr]
    zero = zero.reshape(()) if quant.role is Role.ACT else zero
    emission.initializers.append(codes_tensor(name, zero, encoding))
    return name


def _dequantize(
    name: str, at: str, scale: NDArray[np.float32], zero: str | None, axis: int | None, emission: Emission
) -> None:
    scale = scale.reshape(-1) if axis is not None else scale.reshape(())
    emission.initializers.append(numpy_helper.from_array(np.ascontiguousarray(scale), made(name, "scale")))
    inputs = [made(name, "q"), made(name, "scale"), *([zero] if zero else [])]
    node = helper.make_node("DequantizeLinear", inputs, [made(name, "dq")], name=made(name, "dequantize"))
    if axis is not None:
        node.attribute.append(helper.make_attribute("axis", axis))
    emission.at(at).append(node)
    emission.renamed.setdefault(name, made(name, "dq"))
