"""Moves floats where a model moves codes, so that quantizers stand where values are computed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from onnx import helper

from passes.interchange.quantizer import is_quantize
from passes.ir.ops import OpClass, op_info

if TYPE_CHECKING:
    import onnx

    from passes.interchange.network import Network


def move_floats(network: Network) -> None:
    """Put a DequantizeLinear before and a QuantizeLinear behind every operator that moves codes.

    Codes are those that a QuantizeLinear writes, moved or not; all operands must be of one scale. The order
    of codes is that of values, so maxima are the same.
    """
    known: dict[str, list[str]] = {}
    nodes: list[onnx.NodeProto] = []
    for node in network.nodes:
        nodes.extend(_moved(node, known, network))
        if is_quantize(node):
            known[node.output[0]] = list(node.input[1:])
    network.replace(nodes)


def _moved(node: onnx.NodeProto, known: dict[str, list[str]], network: Network) -> list[onnx.NodeProto]:
    info = op_info(node.op_type, node.domain)
    data = list(node.input if info.data_inputs is None else node.input[: info.data_inputs])
    numbers = known.get(data[0]) if info.kind is OpClass.MOVE and data else None
    if numbers is None or len(node.output) != 1 or any(known.get(name) != numbers for name in data):
        return [node]
    if node.op_type == "Pad" and not _fills_zero(node, numbers, network):
        return [node]
    before = []
    for index, name in enumerate(data):
        value = network.fresh(f"{name}.value")
        before.append(helper.make_node("DequantizeLinear", [name, *numbers], [value], f"{value}.dequantize"))
        node.input[index] = value
    codes = node.output[0]
    node.output[0] = network.fresh(network.base_name(codes) or f"{codes}.value")
    known[codes] = numbers
    behind = helper.make_node("QuantizeLinear", [node.output[0], *numbers], [codes], f"{codes}.quantize")
    return [*before, node, behind]


def _fills_zero(node: onnx.NodeProto, numbers: list[str], network: Network) -> bool:
    """Let a Pad with the zero point fill in the value 0; tell whether it does."""
    if len(node.input) < 3 or not node.input[2]:
        filled = np.zeros(1, np.int64)
    else:
        value = network.constant(node.input[2])
        if value is None:
            return False
        filled = value.astype(np.int64)
    zero = network.constant(numbers[1]) if len(numbers) > 1 else np.zeros(1)
    if zero is None or (filled.reshape(-1) != zero.astype(np.int64).reshape(-1)).any():
        return False
    if len(node.input) > 2:
        node.input[2] = ""
    return True
