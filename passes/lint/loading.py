"""QT11x: models that do not load, or fail when they run, after what the optimizer does to them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from passes.lint.element_types import FLOAT8, INT4, INT8, NARROW, type_name
from passes.lint.finding import Place, Rule, Severity, at
from passes.lint.products import products, quantizer_behind
from passes.lint.same_scale import same_parameters
from passes.lint.view import (
    STANDARD,
    attribute,
    input_name,
    is_quantize,
    output_name,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    import onnx

    from passes.lint.runtime import Runtime
    from passes.lint.view import View

MAX_POOL_22 = 22
"""Opset of the MaxPool that releases before 1.28 leave between its quantizers."""
_COMPUTED = frozenset({
    "AveragePool", "GlobalAveragePool", "LeakyRelu", "Sigmoid", "Softmax", "Add", "Mul", "Concat", "Where",
})  # fmt: skip
_MOVED = frozenset({
    "MaxPool", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Gather", "Resize", "Split", "Slice",
})  # fmt: skip
_BITS, _BLOCKS = {4: (1, 20), 8: (1, 23), 2: (1, 24)}, (16, 32, 64, 128, 256)
"""Widths of MatMulNBits with the first releases that have them, and its sizes of blocks."""


def _narrow_weight(view: View, runtime: Runtime) -> Iterator[Place]:
    for it in products(view, runtime):
        if it.fused and it.act in INT8 and it.weight not in INT8:
            message = (
                f"{it.node.op_type} of {type_name(it.weight)} weights and {type_name(it.act)} activations"
            )
            yield at(it.node, input_name(it.node, 1), message)


def _narrow_activation(view: View, runtime: Runtime) -> Iterator[Place]:
    for it in products(view, runtime):
        if it.fused and it.act not in INT8:
            message = (
                f"{it.node.op_type} of {type_name(it.act)} activations and {type_name(it.weight)} weights"
            )
            yield at(it.node, input_name(it.node, 0), message)


def _blocked(view: View, runtime: Runtime) -> Iterator[Place]:
    for it in products(view, runtime):
        fails = bool(it.result) or it.node.op_type == "Gemm"
        if it.fused and it.blocked and fails and {it.act, it.weight} <= INT8:
            message = f"{it.node.op_type} of blocked {type_name(it.weight)} weights"
            yield at(it.node, input_name(it.node, 1), message)


def _narrow_operator(view: View, runtime: Runtime) -> Iterator[Place]:
    for node in view.graph.node:
        source = view.dequantize(input_name(node, 1 if node.op_type == "Where" else 0))
        if node.domain not in STANDARD or source is None:
            continue
        kind = view.codes_type(source)
        spared = node.op_type == "MaxPool" and view.opset >= MAX_POOL_22 and runtime.version < (1, 28)
        if kind in NARROW and not spared and _is_rewritten(view, node, source, kind):
            yield at(node, input_name(node, 0), f"{node.op_type} of {type_name(kind)} activations")


def _is_rewritten(view: View, node: onnx.NodeProto, source: onnx.NodeProto, kind: int) -> bool:
    """Tell whether an operator will be given codes of a type that it has no kernel for."""
    behind = quantizer_behind(view, node) if node.op_type != "Split" else _any_quantizer(view, node)
    same = behind is not None and same_parameters(view, source, behind)
    if kind in INT4 or node.op_type == "MaxPool":
        return node.op_type == "MaxPool" and same
    if node.op_type == "Resize" and attribute(node, "mode", b"nearest") != b"nearest":
        return False
    # A Reshape of 8-bit floats has a kernel.
    if node.op_type in _MOVED:
        return same and not (kind in FLOAT8 and node.op_type == "Reshape")
    return node.op_type == "ArgMax" or (node.op_type in _COMPUTED and behind is not None)


def _any_quantizer(view: View, node: onnx.NodeProto) -> onnx.NodeProto | None:
    readers = [view.only_reader(name) for name in node.output]
    return next((it for it in readers if it is not None and is_quantize(it)), None)


def _clip(view: View, runtime: Runtime) -> Iterator[Place]:
    for node in view.ops("Clip"):
        behind = view.only_reader(output_name(node))
        if behind is None or not is_quantize(behind) or view.codes_type(behind) not in NARROW:
            continue
        if runtime.version < (1, 24) or input_name(node, 0) not in view.inputs:
            message = f"Clip before QuantizeLinear to {type_name(view.codes_type(behind))}"
            yield at(node, output_name(node), message)


def _nbits(view: View, runtime: Runtime) -> Iterator[Place]:
    for node in view.graph.node:
        if node.op_type != "MatMulNBits" or node.domain != "com.microsoft":
            continue
        bits, block = attribute(node, "bits", 4), attribute(node, "block_size", 0)
        if bits not in _BITS or runtime.version < _BITS[bits] or block not in _BLOCKS:
            yield at(node, input_name(node, 1), f"MatMulNBits of {bits} bits in blocks of {block}")


LOADING = (
    Rule(
        "QT111", Severity.ERROR, "2-bit or 8-bit float weight beside 8-bit activations",
        "The layer is replaced by an integer kernel that has neither INT2 nor FLOAT8 weights, and the "
        "session reports an invalid graph.",
        "put a Reshape between DequantizeLinear and the layer, store the weight as INT4 or INT8, or load at "
        "the basic level",
        _narrow_weight,
    ),
    Rule(
        "QT112", Severity.ERROR, "narrow activations into an integer kernel",
        "Conv with weights of other than 4 bits, and MatMul and Gemm with 2-bit or 8-bit float activations, "
        "are replaced by a kernel that has 8-bit activations only.",
        "store the activations in UINT8 with a Clip between QuantizeLinear and DequantizeLinear (qcdq), or "
        "load at the basic level",
        _narrow_activation,
    ),
    Rule(
        "QT113", Severity.ERROR, "blocked 8-bit weight beside 8-bit activations",
        "Conv and MatMul (before 1.28 Gemm, too) are replaced by integer kernels that know one scale per "
        "channel only; the model loads and fails when it runs.",
        "put a Reshape between DequantizeLinear and the layer, use per-channel scales, or load at the basic "
        "level",
        _blocked,
    ),
    Rule(
        "QT114", Severity.ERROR, "operator on narrow codes without a kernel",
        "The quantizers around an operator are removed, and it is given 2-bit, 4-bit or 8-bit float codes "
        "that it has no kernel for.",
        "store the activations in UINT8 with a Clip between QuantizeLinear and DequantizeLinear (qcdq), or "
        "load at the basic level",
        _narrow_operator,
    ),
    Rule(
        "QT115", Severity.ERROR, "Clip before a narrow QuantizeLinear",
        "The optimizer compares the bounds of a Clip with the range of the codes, and stops with an "
        "exception when they have fewer than 8 bits.",
        "clip the codes instead, in an 8-bit container, or load at the basic level",
        _clip,
    ),
    Rule(
        "QT116", Severity.ERROR, "MatMulNBits of a size without a kernel",
        "Processors have kernels for 2, 4 and 8 bits in blocks of 16, 32, 64, 128 or 256.",
        "store the codes in the next width, in blocks of one of these sizes",
        _nbits, basic=True,
    ),
)  # fmt: skip
"""In the order of their codes."""
