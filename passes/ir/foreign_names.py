"""Operators of other domains that are called as those of ONNX have their domain in the graph: ``my::Conv``.

Passes look for operators by name; so none of them takes such a node for what it is not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from onnx import defs

from passes.ir.nested import graphs_of
from passes.ir.ops import DEFAULT_DOMAINS

if TYPE_CHECKING:
    import onnx
    import onnx_graphsurgeon as gs

_ALIKE = (*DEFAULT_DOMAINS, "com.microsoft")
"""Domains whose operators of these names do what those of ONNX do."""
_SEPARATOR = "::"


def mark_foreign(graph: gs.Graph) -> None:
    """Put the domain in front of such names, nested graphs included."""
    for part in (graph, *graph.subgraphs(recursive=True)):
        for node in part.nodes:
            # A damaged file may have bytes for a name.
            if (node.domain or "") not in _ALIKE and isinstance(node.op, str) and defs.has(node.op):
                node.op = f"{node.domain}{_SEPARATOR}{node.op}"


def unmark_foreign(graph: onnx.GraphProto) -> None:
    """Give all nodes of a graph that is written their own names again."""
    for part in graphs_of(graph):
        for node in part.node:
            if node.domain:
                node.op_type = node.op_type.removeprefix(f"{node.domain}{_SEPARATOR}")
