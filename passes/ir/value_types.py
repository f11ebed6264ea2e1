"""Values that are no tensors: sequences, maps and optional values (ONNX TypeProto).

graphsurgeon writes sequences of tensors at best, so that types of inputs and outputs of graphs are carried,
and so are types that nodes have as attributes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import onnx

from passes.ir.nested import graphs_of

if TYPE_CHECKING:
    import onnx_graphsurgeon as gs

_WRITTEN = (None, "tensor_type", "sequence_type", "sparse_tensor_type")


def other_types(graph: onnx.GraphProto) -> dict[str, onnx.TypeProto]:
    """Return the types, by name, of inputs and outputs that are no tensors, those of nested graphs included.

    Names that stand for several types in several graphs are left out.
    """
    found: dict[str, onnx.TypeProto] = {}
    unclear: set[str] = set()
    for part in graphs_of(graph):
        for value in (*part.input, *part.output):
            if found.setdefault(value.name, value.type) != value.type:
                unclear.add(value.name)
    return {
        name: kind
        for name, kind in found.items()
        if name not in unclear and kind.WhichOneof("value") not in (None, "tensor_type")
    }


def type_attributes(graph: onnx.GraphProto) -> dict[str, onnx.AttributeProto]:
    """Return the attributes that are types, which graphsurgeon drops, by the first result of their node."""
    return {
        node.output[0]: attribute
        for part in graphs_of(graph)
        for node in part.node
        for attribute in node.attribute
        if attribute.type == onnx.AttributeProto.TYPE_PROTO and node.output
    }


def leave_others_open(graph: gs.Graph) -> None:
    """Let values have no type that graphsurgeon could not write, nested graphs included."""
    for part in (graph, *graph.subgraphs(recursive=True)):
        nodes = (tensor for node in part.nodes for tensor in (*node.inputs, *node.outputs))
        for tensor in (*part.inputs, *part.outputs, *nodes):
            if getattr(tensor, "type", None) not in _WRITTEN:
                tensor.dtype = tensor.shape = None
                tensor.type = _WRITTEN[1]


def restore_types(
    graph: onnx.GraphProto, types: dict[str, onnx.TypeProto], attributes: dict[str, onnx.AttributeProto]
) -> None:
    """Give a graph that is written the types that its inputs, outputs and nodes had."""
    for part in graphs_of(graph):
        for value in (*part.input, *part.output):
            if value.name in types:
                value.type.CopyFrom(types[value.name])
        for node in part.node if attributes else ():
            if node.output and node.output[0] in attributes:
                node.attribute.append(attributes[node.output[0]])
