"""Takes the branch of an If (ONNX, opset 1) whose condition is known into the graph around it."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING

import onnx_graphsurgeon as gs

if TYPE_CHECKING:
    from collections.abc import Iterator


def inline_branches(graph: gs.Graph) -> int:
    """Replace every If on a constant by the branch that it takes, also in bodies; return how many there were.

    graphsurgeon's own rule loses results of branches that give several.
    """
    names, found = _fresh_names(graph), 0
    # From the inside out: what is taken in from a branch is no longer looked at there.
    for part in reversed([graph, *graph.subgraphs(recursive=True)]):
        for node in [node for node in part.nodes if node.op == "If"]:
            if node.inputs and isinstance(node.inputs[0], gs.Constant):
                _inline(part, node, names)
                found += 1
    return found


def _inline(graph: gs.Graph, node: gs.Node, names: Iterator[str]) -> None:
    """Put the nodes of a branch into the place of the If, nodes and tensors under names of their own."""
    branch: gs.Graph = node.attrs["then_branch" if bool(node.inputs[0].values.item()) else "else_branch"]
    outside = {id(tensor) for other in graph.nodes for tensor in other.inputs}
    read = [*branch.outputs, *(tensor for inner in branch.nodes for tensor in inner.inputs)]
    own = [tensor for inner in branch.nodes for tensor in inner.outputs if tensor.name]
    own += [tensor for tensor in read if isinstance(tensor, gs.Constant) and id(tensor) not in outside]
    for item in [*branch.nodes, *{id(tensor): tensor for tensor in own}.values()]:
        item.name = f"{next(names)}.{item.name}"
    results, node.outputs, node.inputs = list(node.outputs), [], []
    copies = [
        gs.Node("Identity", next(names), {}, [source], [result])
        for source, result in zip(branch.outputs, results, strict=True)
    ]
    at = graph.nodes.index(node)
    graph.nodes[at : at + 1] = [*branch.nodes, *copies]


def _fresh_names(graph: gs.Graph) -> Iterator[str]:
    """Yield names that no tensor and no node of the graph begins with."""
    parts = [graph, *graph.subgraphs(recursive=True)]
    used = [name for part in parts for name in (*part.tensors(), *(node.name for node in part.nodes))]
    taken = {name.split(".")[0] for name in used}
    return (name for name in (f"branch_{at}" for at in count()) if name not in taken)
