"""Inputs and results of a model that are integers: kept behind quantizers of their own, or made floats."""

from __future__ import annotations

from typing import TYPE_CHECKING

import onnx
from onnx import helper

from passes.interchange.activations import activation_quant, whole_format
from passes.interchange.quantizer import is_dequantize, is_quantize, read_quantizer

if TYPE_CHECKING:
    from passes.interchange.activations import Found
    from passes.interchange.network import Network


def name_inputs(network: Network, found: Found, float_io: bool) -> None:
    """Say of tensors dequantized from integer inputs that they are quantized.

    Args:
        network: it is changed.
        found: where to put it.
        float_io: let integer inputs become floats, as well as integer results.
    """
    if float_io:
        _float_results(network)
    inputs = {value.name: value for value in network.proto.graph.input}
    renamed: dict[str, str] = {}
    nodes: list[onnx.NodeProto] = []
    for node in network.nodes:
        numbers = read_quantizer(node, network) if is_dequantize(node) and node.input[0] in inputs else ""
        fmt = None if isinstance(numbers, str) or not numbers.per_tensor else whole_format(numbers)
        if fmt is None or isinstance(numbers, str):
            nodes.append(node)
            continue
        name, source = node.output[0], node.input[0]
        if float_io and len(network.readers(source)) == 1:
            inputs[source].type.tensor_type.elem_type = onnx.TensorProto.FLOAT
            found.acts[source] = activation_quant(fmt, numbers)
            found.unread.update(node.input[1:])
            renamed[name] = source
            continue
        # A layer that reads a DequantizeLinear directly counts as quantized already.
        renamed[name] = network.fresh(f"{name}.input")
        nodes += [node, helper.make_node("Identity", [name], [renamed[name]], f"{renamed[name]}.identity")]
        found.acts[renamed[name]] = activation_quant(fmt, numbers)
        found.kept[node.name] = "an input of the model is integers"
    network.replace(nodes)
    for node in network.nodes:
        if node.op_type != "Identity" or node.output[0] not in renamed.values():
            node.input[:] = [renamed.get(name, name) for name in node.input]
    network.index()


def _float_results(network: Network) -> None:
    """Put a DequantizeLinear behind results that are codes."""
    nodes = network.nodes
    for value in network.proto.graph.output:
        producer = network.producer.get(value.name)
        if producer is None or not is_quantize(producer) or network.readers(value.name):
            continue
        codes = network.fresh(f"{value.name}.codes")
        for node in nodes:
            node.output[:] = [codes if name == value.name else name for name in node.output]
        numbers = list(producer.input[1:])
        nodes.append(
            helper.make_node("DequantizeLinear", [codes, *numbers], [value.name], f"{value.name}.dequantize")
        )
        value.type.tensor_type.elem_type = onnx.TensorProto.FLOAT
    network.replace(nodes)
