"""Spells a Sum of several tensors as a chain of additions, which have an integer form."""

from __future__ import annotations

import onnx_graphsurgeon as gs


def split_sums(graph: gs.Graph) -> int:
    """Replace every Sum (opset 8) of two and more tensors; the additions are made in the same order.

    Returns:
        How many were replaced; the graph is no longer sorted.
    """
    sums = [node for node in graph.nodes if node.op == "Sum" and not node.domain and len(node.inputs) > 1]
    for node in sums:
        (result,), (total, *terms) = list(node.outputs), list(node.inputs)
        node.outputs = []
        for at, term in enumerate(terms, 1):
            part = gs.Variable(f"{result.name}.{at}", result.dtype)
            name, made = (node.name, result) if at == len(terms) else (f"{node.name}.{at}", part)
            graph.nodes.append(gs.Node("Add", name, inputs=[total, term], outputs=[made]))
            total = made
        graph.nodes.remove(node)
    return len(sums)
