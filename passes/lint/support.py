"""QT10x: what a release does not have at all: operator sets, operators, types."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onnx import defs

from passes.lint.element_types import FLOATS, NO_KERNEL, type_name
from passes.lint.finding import Place, Rule, Severity, at
from passes.lint.view import STANDARD, input_name, is_dequantize, is_quantize, output_name

if TYPE_CHECKING:
    from collections.abc import Iterator

    from passes.lint.runtime import Runtime
    from passes.lint.view import View

SWISH_OPSET = 24
"""The only opset at which the definition of Swish, which has no kernel, is expanded."""
QUANTIZER_23 = (1, 24)
"""First release with kernels for QuantizeLinear and DequantizeLinear of opset 23."""
_DOMAINS = ("ai.onnx.", "com.microsoft", "com.ms.", "org.pytorch.aten")
"""Starts of the domains whose operators ONNX Runtime brings along."""
_OUTSIDE = ("com.microsoft.extensions", "ai.onnx.contrib")
_OWN = frozenset({"SimplifiedLayerNormalization", "MemcpyToHost", "MemcpyFromHost"})
"""Operators that ONNX Runtime adds to the domain of ONNX."""


def _opset(view: View, runtime: Runtime) -> Iterator[Place]:
    if view.outer is None and view.opset > runtime.max_opset:
        yield Place("", "", f"opset {view.opset}; {runtime} takes {runtime.max_opset} at most")


def _ir_version(view: View, runtime: Runtime) -> Iterator[Place]:
    if view.outer is None and view.model.ir_version > runtime.max_ir:
        yield Place("", "", f"IR version {view.model.ir_version}; {runtime} takes {runtime.max_ir} at most")


def _quantizer_type(view: View, runtime: Runtime) -> Iterator[Place]:
    for node in filter(lambda it: is_quantize(it) or is_dequantize(it), view.graph.node):
        kind, scale = view.codes_type(node), view.initializer(input_name(node, 1))
        if kind in NO_KERNEL:
            yield at(node, output_name(node), f"{node.op_type} of {type_name(kind)}")
        elif scale is not None and scale.data_type not in FLOATS:
            yield at(node, scale.name, f"{node.op_type} with a scale of {type_name(scale.data_type)}")


def _no_kernel_at_opset(view: View, runtime: Runtime) -> Iterator[Place]:
    if view.opset > runtime.max_opset:
        return
    old = view.opset > 22 and runtime.version < QUANTIZER_23
    for node in view.ops("Swish", "QuantizeLinear", "DequantizeLinear"):
        if old if node.op_type != "Swish" else view.opset > SWISH_OPSET:
            yield at(node, output_name(node), f"{node.op_type} at opset {view.opset}")


def _unknown_operator(view: View, runtime: Runtime) -> Iterator[Place]:
    local = {(function.domain, function.name) for function in view.model.functions}
    for node in view.graph.node:
        if (node.domain, node.op_type) not in local and not _is_known(node.domain, node.op_type):
            where = f"domain {node.domain!r}" if node.domain else "the domain of ONNX"
            yield at(node, output_name(node), f"{node.op_type} of {where}")


def _is_known(domain: str, op: str) -> bool:
    if domain in STANDARD:
        return op in _OWN or defs.has(op)
    return domain.startswith(_DOMAINS) and domain not in _OUTSIDE


SUPPORT = (
    Rule(
        "QT101", Severity.ERROR, "opset newer than the runtime",
        "ONNX Runtime refuses models of a newer opset than it was built for, whatever operators they use.",
        "export at a lower opset, or install a newer onnxruntime",
        _opset, basic=True,
    ),
    Rule(
        "QT102", Severity.ERROR, "IR version newer than the runtime",
        "The onnx package writes the newest IR version it knows unless told otherwise; ONNX Runtime refuses "
        "those that it does not know.",
        "write the model with a lower ir_version, such as that of its opset",
        _ir_version, basic=True,
    ),
    Rule(
        "QT103", Severity.ERROR, "quantizer of a type without a kernel",
        "FLOAT4E2M1 and FLOAT8E8M0 codes, and scales that are neither FLOAT nor FLOAT16, are in the "
        "standard, but no kernel for processors has them.",
        "use INT4 or FLOAT8E4M3FN codes, and scales in FLOAT",
        _quantizer_type, basic=True,
    ),
    Rule(
        "QT104", Severity.ERROR, "operator without a kernel at this opset",
        "Swish has no kernel, and its definition is expanded in models of opset 24 only. Releases before "
        "1.24 accept opset 23, but have no QuantizeLinear and DequantizeLinear of it.",
        "keep the model at opset 24, or write x * Sigmoid(x); for the quantizers, at opset 22",
        _no_kernel_at_opset, basic=True,
    ),
    Rule(
        "QT105", Severity.ERROR, "unknown operator",
        "Neither ONNX nor ONNX Runtime has the operator, and the model brings no function of that name.",
        "register the library of the operator with the session, or write it with operators of ONNX",
        _unknown_operator, basic=True,
    ),
)  # fmt: skip
"""In the order of their codes."""
