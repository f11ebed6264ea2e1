"""QT3xx: quantized parts of a model that run in floating point all the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

from passes.lint.element_types import INT2, INT4, INT8, INT16, type_name
from passes.lint.finding import Place, Rule, Severity, at
from passes.lint.products import is_removed, products
from passes.lint.same_scale import same_parameters
from passes.lint.view import STANDARD, attribute, input_name, is_quantize, output_name

if TYPE_CHECKING:
    from collections.abc import Iterator

    from passes.lint.runtime import Runtime
    from passes.lint.view import View

_MOVERS = (
    "MaxPool", "Reshape", "Transpose", "Flatten", "Squeeze", "Unsqueeze", "Slice", "Split", "Gather",
    "Resize",
)  # fmt: skip
FLOAT_ONLY = frozenset({
    "ConvTranspose", "Sub", "Div", "Tanh", "HardSwish", "HardSigmoid", "Gelu", "Elu", "LayerNormalization",
    "InstanceNormalization", "ReduceMean", "Pad", "Einsum", "Swish", "RMSNormalization",
})  # fmt: skip
"""Operators that have no integer kernel."""


def _clamped(view: View, runtime: Runtime) -> Iterator[Place]:
    for it in products(view, runtime):
        clamp = view.only_reader(output_name(it.node))
        if clamp is None or clamp.op_type not in ("Relu", "Clip") or not {it.act, it.weight} <= INT8:
            continue
        behind = view.only_reader(output_name(clamp))
        if behind is not None and is_quantize(behind) and not is_removed(view, clamp, behind):
            message = f"{it.node.op_type}, then {clamp.op_type}, then QuantizeLinear"
            yield at(it.node, output_name(clamp), message)


def _open_result(view: View, runtime: Runtime) -> Iterator[Place]:
    for it in products(view, runtime):
        if it.node.op_type != "Conv" or it.result or not {it.act, it.weight} <= INT8:
            continue
        reader = view.only_reader(output_name(it.node))
        if reader is None or reader.op_type not in ("Relu", "Clip"):
            message = "Conv of quantized operands, its result not quantized, or read by others as well"
            yield at(it.node, output_name(it.node), message)


def _moved(view: View, runtime: Runtime) -> Iterator[Place]:
    for node in view.ops(*_MOVERS):
        source, behind = view.dequantize(input_name(node, 0)), view.only_reader(output_name(node))
        if source is None or behind is None or not is_quantize(behind):
            continue
        kinds = {view.codes_type(source), view.codes_type(behind)}
        if kinds <= INT8 | INT16 and not same_parameters(view, source, behind):
            yield at(node, output_name(node), f"{node.op_type} from one scale to another")


def _float_only(view: View, runtime: Runtime) -> Iterator[Place]:
    for node in view.graph.node:
        behind = view.only_reader(output_name(node))
        known = node.op_type in FLOAT_ONLY and node.domain in STANDARD
        if known and behind is not None and is_quantize(behind) and view.dequantize(input_name(node, 0)):
            yield at(node, output_name(node), f"{node.op_type} between quantizers")


def _turned(view: View, runtime: Runtime) -> Iterator[Place]:
    for node in view.ops("Gemm"):
        source = view.dequantize(input_name(node, 1))
        if source is None or view.dequantize(input_name(node, 0)) is not None:
            continue
        kind = view.codes_type(source)
        if attribute(node, "transB", 0) and kind in INT2 | INT4 | INT8:
            yield at(node, input_name(node, 1), f"Gemm with transB=1 and {type_name(kind)} weights")


def _gathered(view: View, runtime: Runtime) -> Iterator[Place]:
    for node in view.ops("Gather"):
        source = view.dequantize(input_name(node, 0))
        if source is not None and view.initializer(input_name(source, 0)) is not None:
            message = f"Gather from a table of {type_name(view.codes_type(source))} codes"
            yield at(node, input_name(node, 0), message)


FUSION = (
    Rule(
        "QT301", Severity.WARNING, "clamp between a layer and its QuantizeLinear",
        "The layer runs on integers only when the Relu or Clip behind it is redundant: when the codes stand "
        "for no value outside its bounds.",
        "choose zero point and scale such that the lowest and the highest code are the bounds, or move the "
        "Clip behind QuantizeLinear",
        _clamped,
    ),
    Rule(
        "QT302", Severity.NOTE, "result of a Conv not quantized",
        "A Conv of quantized operands runs on integers only when QuantizeLinear alone reads its result.",
        "quantize the result, and let the other readers read behind DequantizeLinear",
        _open_result,
    ),
    Rule(
        "QT303", Severity.NOTE, "scales differ around an operator that only moves values",
        "Pooling and reshaping run on codes when scale and zero point are the same before and behind; "
        "otherwise in floating point.",
        "give both quantizers the same scale and zero point",
        _moved,
    ),
    Rule(
        "QT304", Severity.NOTE, "operator without an integer kernel between quantizers",
        "The operator runs in floating point between DequantizeLinear and QuantizeLinear.",
        "nothing if the values are meant to be quantized there; else leave the operator in floating point",
        _float_only,
    ),
    Rule(
        "QT305", Severity.NOTE, "Gemm with transB=1 and integer weights",
        "Only Gemm with transB=0 becomes MatMulNBits; this one dequantizes its weight at every run.",
        "store the weight transposed and set transB to 0, or write MatMul and Add",
        _turned, since=(1, 26),
    ),
    Rule(
        "QT306", Severity.NOTE, "Gather from a dequantized table",
        "The pattern is not fused: the whole table is dequantized at every run, for a few rows of it.",
        "put the Gather before DequantizeLinear, or write com.microsoft GatherBlockQuantized",
        _gathered, basic=True,
    ),
)  # fmt: skip
"""In the order of their codes."""
