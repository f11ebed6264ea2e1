"""``x * Sigmoid(x)`` is one function of one value: Swish (ONNX, opset 24), also known as SiLU."""

from __future__ import annotations

import onnx_graphsurgeon as gs

from passes.transform.patterns import producer, reader

SWISH_OPSET = 24


def find_swishes(graph: gs.Graph) -> list[tuple[gs.Variable, gs.Variable]]:
    """Return input and output of every product of a tensor with its own sigmoid, which nothing else reads."""
    outputs = {tensor.name for tensor in graph.outputs}
    found = []
    for node in graph.nodes:
        product = reader(node.outputs[0], "Mul") if node.op == "Sigmoid" else None
        if product is None or node.outputs[0].name in outputs or producer(node.outputs[0], "Sigmoid") is None:
            continue
        if any(tensor is node.inputs[0] for tensor in product.inputs):
            found.append((node.inputs[0], product.outputs[0]))
    return found


def fuse_swish(graph: gs.Graph, found: tuple[gs.Variable, gs.Variable]) -> None:
    """Put a Swish in place of both nodes. The graph must be of opset 24 or later."""
    x, result = found
    name = f"{result.inputs[0].name}.swish"
    result.inputs.clear()
    graph.nodes.append(gs.Node("Swish", name, {"alpha": 1.0}, [x], [result]))
