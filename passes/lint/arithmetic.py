"""QT2xx: models that run, with other values than the file says."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from onnx import TensorProto

from passes.lint.element_types import INT2, INT8, NARROW, type_name
from passes.lint.finding import Place, Rule, Severity, at
from passes.lint.products import ROUNDED, code_range, products, rounded_weight
from passes.lint.view import input_name, is_quantize, output_name
from passes.lint.weight_only import explicit_level, weight_only

if TYPE_CHECKING:
    from collections.abc import Iterator

    import onnx

    from passes.lint.runtime import Runtime
    from passes.lint.view import View

FASTER_THAN_EXACT = 4
"""Level of accuracy of MatMulNBits at which it rounds activations to 8 bits."""

SAFE_CODE = 64
"""Two products of it and the largest code of 8 bits, 255, have a sum below 2**15."""


def _lost_relu(view: View, runtime: Runtime) -> Iterator[Place]:
    for node in view.ops("Relu"):
        behind = view.only_reader(output_name(node))
        if behind is None or not is_quantize(behind) or not input_name(behind, 2):
            continue
        kind = view.codes_type(behind)
        # Where no code stands for less than zero, nothing is lost.
        if kind in NARROW and code_range(view, behind)[0] < 0:
            yield at(node, output_name(node), f"Relu before QuantizeLinear to {type_name(kind)}")


def _two_bits(view: View, runtime: Runtime) -> Iterator[Place]:
    for it in weight_only(view, runtime):
        if it.kind in INT2 and it.channels % 4:
            message = f"{it.node.op_type} of {type_name(it.kind)} weights with {it.channels} output channels"
            yield at(it.node, input_name(it.node, 1), message)


def _blocked_scales(view: View, runtime: Runtime) -> Iterator[Place]:
    for it in products(view, runtime):
        narrow = it.act in INT8 and it.weight in INT8
        if it.fused and it.blocked and narrow and not it.result and it.node.op_type == "MatMul":
            message = f"MatMul of blocked {type_name(it.weight)} weights, its result not quantized"
            yield at(it.node, input_name(it.node, 1), message)


def _rounded_floats(view: View, runtime: Runtime) -> Iterator[Place]:
    for node in view.ops(*ROUNDED):
        if rounded_weight(view, node, runtime):
            message = f"{node.op_type} with a float weight between quantized activations"
            yield at(node, input_name(node, 1), message)


def _accuracy_level(view: View, runtime: Runtime) -> Iterator[Place]:
    for it in weight_only(view, runtime):
        yield at(it.node, input_name(it.node, 1), f"{it.node.op_type} becomes MatMulNBits of level 4")


def _explicit_level(view: View, runtime: Runtime) -> Iterator[Place]:
    for node in view.graph.node:
        if explicit_level(node) == FASTER_THAN_EXACT:
            yield at(node, input_name(node, 1), "MatMulNBits with accuracy_level 4")


def _saturation(view: View, runtime: Runtime) -> Iterator[Place]:
    for it in products(view, runtime):
        signed = it.act == TensorProto.UINT8 and it.weight == TensorProto.INT8
        if it.fused and signed and _has_large_codes(view, it.node):
            message = f"{it.node.op_type} of UINT8 activations and INT8 weights"
            yield at(it.node, input_name(it.node, 1), message)


def _has_large_codes(view: View, node: onnx.NodeProto) -> bool:
    """Tell whether two products with a weight may exceed 16 bits; those of unknown codes may."""
    source = view.dequantize(input_name(node, 1))
    codes = view.initializer(input_name(source, 0)) if source is not None else None
    if codes is None or not codes.raw_data:
        return True
    values = np.frombuffer(codes.raw_data, np.int8)
    return max(-int(values.min()), int(values.max())) > SAFE_CODE


def _one_step(view: View, runtime: Runtime) -> Iterator[Place]:
    for node in view.ops("AveragePool", "Softmax"):
        source, behind = view.dequantize(input_name(node, 0)), view.only_reader(output_name(node))
        if (
            source is not None
            and behind is not None
            and is_quantize(behind)
            and view.codes_type(source) in INT8
        ):
            yield at(node, output_name(node), f"{node.op_type} of 8-bit codes")


ARITHMETIC = (
    Rule(
        "QT201", Severity.ERROR, "lost Relu",
        "A Relu before QuantizeLinear to INT4, UINT4, INT2, UINT2 or FLOAT8 is removed, although codes "
        "below the zero point exist: negative values survive, without a message.",
        "choose the lowest code as zero point, write Max(x, 0) in place of Relu, or load at the basic level",
        _lost_relu,
    ),
    Rule(
        "QT202", Severity.ERROR, "2-bit weights with output channels not a multiple of 4",
        "DequantizeLinear and MatMul or Gemm become MatMulNBits, which mixes up the codes of channels: the "
        "result has nothing to do with the model.",
        "pad the output channels to a multiple of 4, write MatMulNBits into the file, or load at the basic "
        "level",
        _two_bits, since=(1, 26),
    ),
    Rule(
        "QT203", Severity.ERROR, "blocked 8-bit weight, result not quantized",
        "MatMul becomes MatMulIntegerToFloat, which takes one scale per channel: it fails when it runs, or "
        "gives wrong values where there are as many rows as blocks.",
        "put a Reshape between DequantizeLinear and MatMul, use per-channel scales, or load at the basic "
        "level",
        _blocked_scales,
    ),
    Rule(
        "QT204", Severity.WARNING, "float weight rounded to 8 bits",
        "The float weight of a Conv, ConvTranspose or Gemm between DequantizeLinear and QuantizeLinear is "
        "rounded to INT8 with one scale, unasked and at every level of optimization.",
        "set the session option session.disable_quant_qdq to 1, or quantize the layer yourself, per channel",
        _rounded_floats, since=(1, 22), basic=True,
    ),
    Rule(
        "QT205", Severity.WARNING, "activations of weight-only layers rounded to 8 bits",
        "DequantizeLinear and MatMul or Gemm become MatMulNBits with accuracy level 4, which rounds every "
        "block of the activations to 8 bits.",
        "set the session option session.qdq_matmulnbits_accuracy_level to 0",
        _accuracy_level,
    ),
    Rule(
        "QT206", Severity.WARNING, "MatMulNBits rounds activations to 8 bits",
        "accuracy_level 4 allows the kernel to round every block of the activations to 8 bits.",
        "set accuracy_level to 1 where the accuracy of float activations is wanted",
        _explicit_level, basic=True,
    ),
    Rule(
        "QT207", Severity.WARNING, "sums saturate on x86 without VNNI",
        "The kernel for UINT8 activations and INT8 weights adds pairs of products in 16 bits on x86 "
        "processors without VNNI, where large ones saturate.",
        "store the weights as UINT8 with zero point 128, or with 7 bits",
        _saturation,
    ),
    Rule(
        "QT208", Severity.NOTE, "integer kernel a step away from the file",
        "The integer kernels of AveragePool and Softmax round otherwise than DequantizeLinear, the operator "
        "and QuantizeLinear one after the other: by one step here and there.",
        "compare results with a tolerance of one step, or load at the basic level",
        _one_step,
    ),
)  # fmt: skip
"""In the order of their codes."""
