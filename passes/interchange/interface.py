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
    """Let results leave as they are computed, without the rounding that made codes of them."""
    renamed: dict[str, str] = {}
    for value in network.proto.graph.output:
        quantize = network.producer.get(value.name)
        if quantize is None or not is_quantize(quantize) or network.readers(value.name):
            continue
        source = quantize.input[0]
        if source in network.producer and source not in network.outputs | renamed.keys():
            renamed[source] = value.name
            value.type.tensor_type.elem_type = onnx.TensorProto.FLOAT
    kept = [node for node in network.nodes if not _dropped(node, renamed)]
    for node in kept:
        node.output[:] = [renamed.get(name, name) for name in node.output]
    network.replace(kept)
    network.redirect(renamed)


def _dropped(node: onnx.NodeProto, renamed: dict[str, str]) -> bool:
    return is_quantize(node) and renamed.get(node.input[0]) == node.output[0]
