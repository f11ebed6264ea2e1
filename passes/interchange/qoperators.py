"""Spells operators on integers as float operators between DequantizeLinear and QuantizeLinear.

QLinearConv and QLinearMatMul are of ONNX (opset 10), the others of com.microsoft (version 1): QLinearAdd,
QLinearMul, QLinearConcat, QLinearAveragePool, QLinearGlobalAveragePool, QLinearLeakyRelu, QLinearSigmoid,
QLinearSoftmax and QGemm. ConvInteger, MatMulInteger and DynamicQuantizeLinear choose scales at run time,
which a plan cannot hold: they stay as they are.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from onnx import helper

if TYPE_CHECKING:
    from collections.abc import Callable

    import onnx
    from numpy.typing import NDArray

    from passes.interchange.activations import Found
    from passes.interchange.network import Network

_DYNAMIC = (
    "ConvInteger",
    "MatMulInteger",
    "DynamicQuantizeLinear",
    "DynamicQuantizeMatMul",
    "MatMulIntegerToFloat",
)
_DROPPED = frozenset({"channels_last", "opset"})
"""Attributes of the operators of com.microsoft that float operators do not have."""


@dataclass
class _Spelling:
    """Nodes that stand in place of one."""

    network: Network
    node: onnx.NodeProto
    before: list[onnx.NodeProto] = field(default_factory=list)

    def value(self, codes: str, *numbers: str, axis: int | None = None) -> str:
        """Return the name of the values of codes."""
        name = self.network.fresh(f"{codes}.value")
        node = helper.make_node("DequantizeLinear", [codes, *numbers], [name], f"{name}.dequantize")
        if axis is not None:
            node.attribute.append(helper.make_attribute("axis", axis))
        self.before.append(node)
        return name

    def channels(self, scale: str, axis: int) -> int | None:
        """Return the axis when there is a scale for each of its slices."""
        values = self.network.constant(scale)
        return axis if values is not None and values.size > 1 else None

    def bias(self, codes: str, scales: tuple[str, str], factor: float = 1.0) -> str:
        """Return the name of the values of a bias, whose scale is the product of two."""
        left, right = (self.network.constant(name) for name in scales)
        if left is None or right is None:
            raise _LeftError("a scale is computed at run time")
        product: NDArray[np.float32] = np.asarray(
            left.reshape(-1) * right.reshape(-1), np.float32
        ) * np.float32(factor)
        scale = product if product.size > 1 else product.reshape(())
        name = self.network.add_constant(f"{codes}.scale", scale)
        return self.value(codes, name, axis=0 if product.size > 1 else None)

    def finish(self, op: str, inputs: list[str], numbers: list[str]) -> list[onnx.NodeProto]:
        """Return all nodes: those before, the float operator, and its QuantizeLinear if it has numbers."""
        codes = self.node.output[0]
        value = self.network.fresh(self.network.base_name(codes) or f"{codes}.float") if numbers else codes
        made = helper.make_node(op, inputs, [value], self.node.name)
        made.attribute.extend(it for it in self.node.attribute if it.name not in _DROPPED)
        behind = helper.make_node("QuantizeLinear", [value, *numbers], [codes], f"{codes}.quantize")
        return [*self.before, made, *([behind] if numbers else [])]


class _LeftError(Exception):
    """The node stays as it is; the message is the reason."""


def expand_qoperators(network: Network, found: Found) -> None:
    """Replace every operator on integers that has constant scales.

    Args:
        network: it is changed.
        found: where to note operators that stay.
    """
    nodes: list[onnx.NodeProto] = []
    for node in network.nodes:
        if node.op_type in _DYNAMIC:
            found.kept[node.name] = f"{node.op_type} finds its scale at run time; a plan holds constant ones"
        spell = _SPELLINGS.get((node.domain, node.op_type))
        if spell is None:
            nodes.append(node)
            continue
        try:
            _check(node)
            nodes.extend(spell(_Spelling(network, node)))
        except (_LeftError, IndexError) as error:
            found.kept[node.name] = str(error) if isinstance(error, _LeftError) else "it lacks inputs"
            nodes.append(node)
    network.replace(nodes)


def _check(node: onnx.NodeProto) -> None:
    attrs = {it.name: helper.get_attribute_value(it) for it in node.attribute}
    if attrs.get("channels_last", 0):
        raise _LeftError("channels come last; expected them behind the batch")


def _conv(made: _Spelling) -> list[onnx.NodeProto]:
    x, xs, xz, w, ws, wz, ys, yz, *bias = made.node.input
    inputs = [made.value(x, xs, xz), made.value(w, ws, wz, axis=made.channels(ws, 0))]
    inputs += [made.bias(name, (xs, ws)) for name in bias if name]
    return made.finish("Conv", inputs, [ys, yz])


def _matmul(made: _Spelling) -> list[onnx.NodeProto]:
    a, scale, zero, b, bs, bz, ys, yz = made.node.input
    inputs = [made.value(a, scale, zero), made.value(b, bs, bz, axis=made.channels(bs, -1))]
    return made.finish("MatMul", inputs, [ys, yz])


def _gemm(made: _Spelling) -> list[onnx.NodeProto]:
    a, scale, zero, b, bs, bz, *rest = made.node.input
    attrs = {it.name: helper.get_attribute_value(it) for it in made.node.attribute}
    bias, ys, yz = [*rest, "", "", ""][:3]
    axis = made.channels(bs, 0 if attrs.get("transB", 0) else 1)
    inputs = [made.value(a, scale, zero), made.value(b, bs, bz, axis=axis)]
    inputs += [made.bias(bias, (scale, bs), attrs.get("alpha", 1.0))] if bias else []
    return made.finish("Gemm", inputs, [ys, yz] if ys else [])


def _binary(op: str) -> Callable[[_Spelling], list[onnx.NodeProto]]:
    def spell(made: _Spelling) -> list[onnx.NodeProto]:
        a, scale, zero, b, bs, bz, *numbers = made.node.input
        return made.finish(op, [made.value(a, scale, zero), made.value(b, bs, bz)], numbers)

    return spell


def _unary(op: str) -> Callable[[_Spelling], list[onnx.NodeProto]]:
    def spell(made: _Spelling) -> list[onnx.NodeProto]:
        x, scale, zero, *numbers = made.node.input
        return made.finish(op, [made.value(x, scale, zero)], numbers)

    return spell


def _concat(made: _Spelling) -> list[onnx.NodeProto]:
    names = list(made.node.input)
    operands = [names[index : index + 3] for index in range(2, len(names), 3)]
    return made.finish("Concat", [made.value(*operand) for operand in operands], names[:2])


_SPELLINGS: dict[tuple[str, str], Callable[[_Spelling], list[onnx.NodeProto]]] = {
    ("", "QLinearConv"): _conv,
    ("", "QLinearMatMul"): _matmul,
    ("com.microsoft", "QGemm"): _gemm,
    ("com.microsoft", "QLinearConcat"): _concat,
    ("com.microsoft", "QLinearAdd"): _binary("Add"),
    ("com.microsoft", "QLinearMul"): _binary("Mul"),
    ("com.microsoft", "QLinearAveragePool"): _unary("AveragePool"),
    ("com.microsoft", "QLinearGlobalAveragePool"): _unary("GlobalAveragePool"),
    ("com.microsoft", "QLinearLeakyRelu"): _unary("LeakyRelu"),
    ("com.microsoft", "QLinearSigmoid"): _unary("Sigmoid"),
    ("com.microsoft", "QLinearSoftmax"): _unary("Softmax"),
}
