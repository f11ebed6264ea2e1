"""Nodes whose attributes or results are not what their operator says are refused before a pass reads them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import onnx
from onnx import defs

from passes.errors import ModelError
from passes.ir.nested import inner_graphs
from passes.ir.ops import DEFAULT_DOMAINS

if TYPE_CHECKING:
    from collections.abc import Iterator

_KINDS = onnx.AttributeProto.AttributeType


def check_nodes(graph: onnx.GraphProto, opset: int, path: str) -> None:
    """Check the nodes of a graph, and of those inside it.

    Args:
        graph: of a model, or of a node.
        opset: of ONNX's own domain.
        path: where it came from, for messages.

    Raises:
        ModelError: a tensor is written twice; an operator of ONNX lacks an attribute that it must have, or
            has one that it does not know, or of another type.
    """
    written = {tensor.name for tensor in graph.initializer}
    for node in graph.node:
        where = f"{path}: node {node.name} ({node.op_type})"
        for name in filter(None, node.output):
            if name in written:
                raise ModelError(f"{where}: {name!r} is a constant or the result of another node, too")
            written.add(name)
        if node.domain in DEFAULT_DOMAINS:
            for problem in _attribute_problems(node, opset):
                raise ModelError(f"{where}: {problem}; export it again")
        for inner in inner_graphs(node):
            check_nodes(inner, opset, path)


def _attribute_problems(node: onnx.NodeProto, opset: int) -> Iterator[str]:
    # What is no text comes out of the parser as bytes.
    op: object = node.op_type
    if not (isinstance(op, str) and defs.has(op, opset)):
        return
    found = {attribute.name: attribute.type for attribute in node.attribute}
    attributes = defs.get_schema(node.op_type, opset).attributes
    # ONNX Runtime refuses such models, too.
    if unknown := found.keys() - attributes.keys():
        yield f"opset {opset} has no attribute {min(unknown)!r} of it"
    for name, known in attributes.items():
        expected = _KINDS.Value(str(known.type).rpartition(".")[2])
        if name in found and found[name] not in (expected, _KINDS.UNDEFINED):
            kinds = _KINDS.Name(expected), _KINDS.Name(found[name])
            yield f"expected attribute {name!r} of type {kinds[0]}, found {kinds[1]}"
        if known.required and name not in found:
            yield f"expected an attribute {name!r}, found none"
