"""Calls of functions that a model brings along are replaced by what the functions compute.

Exporters write modules and helpers as functions of the model (ONNX, IR version 8); every pass looks at one
graph. Functions of domains that name operators, such as those of ONNX Runtime, are how a runtime without the
operator would compute it: they stay. A node out of a function is called after it: ``block/Conv_3__1``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import onnx
from google.protobuf.message import EncodeError
from onnx import inliner

from passes.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Iterable

MAX_NODES = 200_000
"""Nodes that calls may unfold into: a file of a few kilobytes can name billions."""
MAX_DEPTH = 100
"""Calls inside calls."""
_OPERATORS = ("ai.onnx", "com.microsoft", "qonnx", "finn", "onnx.brevitas")
"""What the names of such domains begin with."""
Key = tuple[str, str]


def inline_functions(proto: onnx.ModelProto, path: str) -> onnx.ModelProto:
    """Return the model with its own functions inlined.

    Args:
        proto: left as it is, and returned where there is nothing to inline, or where it cannot be done: calls
            that do not fit, an opset that cannot be converted. Such calls stay in floating point.
        path: where it came from, for messages.

    Raises:
        ModelError: a function calls itself, calls go too deep, or too many nodes would come out.
    """
    kept = [it for it in proto.functions if not it.domain or it.domain.startswith(_OPERATORS)]
    own = {(it.domain, it.name): it for it in proto.functions if it not in kept}
    if not own:
        return proto
    nodes = _unfolded(proto.graph.node, own, {}, (), path)
    if nodes > MAX_NODES:
        raise ModelError(f"{path}: its functions unfold into {nodes} nodes, expected at most {MAX_NODES}")
    try:
        result = inliner.inline_local_functions(_with_functions(proto, own.values()), convert_version=True)
    except (RuntimeError, ValueError, EncodeError):
        return proto
    result.functions.extend(kept)
    return result


def _with_functions(proto: onnx.ModelProto, functions: Iterable[onnx.FunctionProto]) -> onnx.ModelProto:
    result = onnx.ModelProto()
    result.CopyFrom(proto)
    del result.functions[:]
    result.functions.extend(functions)
    for function in result.functions:
        for index, node in enumerate(function.node):
            node.name = f"{function.name}/{node.name or f'{node.op_type}_{index}'}"
    return result


def _unfolded(
    nodes: Iterable[onnx.NodeProto],
    own: dict[Key, onnx.FunctionProto],
    sizes: dict[Key, int],
    inside: tuple[Key, ...],
    path: str,
) -> int:
    """Return how many nodes there are once every call is replaced, nested graphs included."""
    total = 0
    for node in nodes:
        key = (node.domain, node.op_type)
        if key in inside or len(inside) > MAX_DEPTH:
            raise ModelError(
                f"{path}: function {key[1]} of domain {key[0]!r} calls itself, or is called too deep"
            )
        if key in own and key not in sizes:
            sizes[key] = _unfolded(own[key].node, own, sizes, (*inside, key), path)
        total += sizes.get(key, 1)
        for attribute in node.attribute:
            for graph in (attribute.g, *attribute.graphs):
                total += _unfolded(graph.node, own, sizes, inside, path)
    return total
