"""QT4xx: models that run slower than their float originals, or whose files are larger than they need be."""

from __future__ import annotations

from typing import TYPE_CHECKING

from passes.ir.external import tensors_of
from passes.lint.element_types import FLOAT8, INT2, INT4, INT8, INT16, type_name
from passes.lint.finding import Place, Rule, Severity, at
from passes.lint.products import products
from passes.lint.view import input_name

if TYPE_CHECKING:
    from collections.abc import Iterator

    from passes.lint.runtime import Runtime
    from passes.lint.view import View

LARGE = 1 << 10
"""Elements from which on the way a tensor is stored matters."""


def _wide(view: View, runtime: Runtime) -> Iterator[Place]:
    for it in products(view, runtime):
        if it.weight and it.act in INT16:
            yield Place(
                it.node.name, input_name(it.node, 0), f"{it.node.op_type} of {type_name(it.act)} activations"
            )


def _narrow_weights(view: View, runtime: Runtime) -> Iterator[Place]:
    for it in products(view, runtime):
        if it.act in INT8 and it.weight in INT2 | INT4 and not it.fused:
            message = (
                f"{it.node.op_type} of {type_name(it.weight)} weights and {type_name(it.act)} activations"
            )
            yield at(it.node, input_name(it.node, 1), message)


def _narrow_activations(view: View, runtime: Runtime) -> Iterator[Place]:
    for it in products(view, runtime):
        if it.weight and it.act in INT2 | INT4 and not it.fused:
            yield Place(
                it.node.name, input_name(it.node, 0), f"{it.node.op_type} of {type_name(it.act)} activations"
            )


def _float8(view: View, runtime: Runtime) -> Iterator[Place]:
    for it in products(view, runtime):
        if it.weight in FLOAT8 and not it.fused:
            yield Place(
                it.node.name, input_name(it.node, 1), f"{it.node.op_type} of {type_name(it.weight)} weights"
            )


def _stored_conv(view: View, runtime: Runtime) -> Iterator[Place]:
    for it in products(view, runtime):
        if it.node.op_type == "Conv" and not it.act and it.weight and it.weight not in FLOAT8:
            yield at(it.node, input_name(it.node, 1), f"Conv of {type_name(it.weight)} weights alone")


def _varints(view: View, runtime: Runtime) -> Iterator[Place]:
    tensors = tensors_of(view.graph) if view.outer is None else ()
    for tensor in tensors:
        if tensor.data_type in INT2 | INT4 | INT8 | INT16 | FLOAT8 and len(tensor.int32_data) >= LARGE:
            yield Place("", tensor.name, f"{len(tensor.int32_data)} numbers of {type_name(tensor.data_type)}")


SPEED = (
    Rule(
        "QT401", Severity.WARNING, "16-bit activations",
        "No integer kernel takes 16-bit activations: the layer runs in floating point between conversions, "
        "slower than the float model (Conv 1.2 times, MatMul 2.6 to 2.8 times).",
        "use 8-bit activations, or leave the layer in floating point",
        _wide,
    ),
    Rule(
        "QT402", Severity.WARNING, "weights of fewer than 8 bits beside 8-bit activations",
        "No integer kernel takes INT4 or INT2 weights: the layer runs in floating point and dequantizes its "
        "weight at every run, slower than the float model (Conv 1.2 times, MatMul 3.2 times).",
        "store the codes in INT8 or UINT8 (qcdq): same values, larger file, integer kernels",
        _narrow_weights,
    ),
    Rule(
        "QT403", Severity.WARNING, "activations of fewer than 8 bits",
        "No integer kernel takes 4-bit or 2-bit activations: the layer runs in floating point, slower than "
        "the float model (Conv 1.3 times, MatMul 3.3 times).",
        "use UINT8 with a Clip between QuantizeLinear and DequantizeLinear (qcdq): same values, integer "
        "kernels",
        _narrow_activations,
    ),
    Rule(
        "QT404", Severity.WARNING, "8-bit float weights",
        "No kernel for processors computes with FLOAT8: the weight is converted at every run, slower than "
        "the float model (Conv 1.4 times, MatMul 2.7 times).",
        "use INT8 weights",
        _float8,
    ),
    Rule(
        "QT405", Severity.NOTE, "Conv with integer weights and float activations",
        "Only matrix products have a kernel for integer weights and float activations: Conv dequantizes its "
        "weight at every run (1.2 times the time of the float model).",
        "quantize the activations to 8 bits too, or accept the time for the smaller file",
        _stored_conv,
    ),
    Rule(
        "QT406", Severity.NOTE, "integers stored as variable-length numbers",
        "Codes in int32_data take up to ten bytes each where they are negative.",
        "store them in raw_data, as onnx.numpy_helper.from_array does",
        _varints, basic=True,
    ),
)  # fmt: skip
"""In the order of their codes."""
