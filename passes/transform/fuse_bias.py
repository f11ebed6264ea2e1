"""A matrix product followed by the addition of a vector is a Gemm, whatever the rank."""

from __future__ import annotations

import numpy as np
import onnx_graphsurgeon as gs

SHAPE_RANGE_OPSET = 15
"""Since then Shape can leave out the last extent."""


def fuse_bias(graph: gs.Graph) -> int:
    """Turn every MatMul by a constant and the Add of a vector behind it into a Gemm; return how many.

    A product of rank 3 or more is flattened to rows and brought back by a Reshape on either side; where more
    than one of its extents is symbolic, the second takes them from the input at run time (opset 15).
    """
    outputs = {tensor.name for tensor in graph.outputs}
    fused = 0
    for node in list(graph.nodes):
        add = _vector_add(node, outputs)
        if add is None:
            continue
        shape = node.inputs[0].shape
        if len(shape) == 2:
            _make_gemm(node, add, add.outputs[0])
            fused += 1
        elif len(shape) > 2 and (_symbolic(shape[:-1]) <= 1 or graph.opset >= SHAPE_RANGE_OPSET):
            _make_flat(graph, node, add)
            fused += 1
    return fused


def _vector_add(node: gs.Node, outputs: set[str]) -> gs.Node | None:
    """Return the Add that alone reads a product by a matrix and adds one number per column."""
    if node.op != "MatMul" or not isinstance(node.inputs[1], gs.Constant) or node.inputs[0].shape is None:
        return None
    result, matrix = node.outputs[0], node.inputs[1]
    if len(matrix.shape) != 2 or len(result.outputs) != 1 or result.name in outputs:
        return None
    add = result.outputs[0]
    if add.op != "Add" or not isinstance(other := _other(add, node), gs.Constant):
        return None
    # Axes of their own would make the sum longer than the product.
    vector = 0 < len(other.shape) <= len(node.inputs[0].shape) and other.values.size == other.shape[-1]
    return add if vector and other.values.size == matrix.shape[1] else None


def _other(add: gs.Node, node: gs.Node) -> gs.Tensor:
    return add.inputs[1] if add.inputs[0] is node.outputs[0] else add.inputs[0]


def _symbolic(extents: list[int | str]) -> int:
    return sum(not isinstance(extent, int) for extent in extents)


def _make_gemm(node: gs.Node, add: gs.Node, result: gs.Variable) -> None:
    bias = _other(add, node)
    add.inputs.clear()
    add.outputs.clear()
    node.op, node.inputs, node.outputs = "Gemm", [*node.inputs, bias], [result]


def _make_flat(graph: gs.Graph, node: gs.Node, add: gs.Node) -> None:
    """Put a Gemm on rows in place of both nodes; it keeps the name of the product."""
    x, result, name = node.inputs[0], add.outputs[0], node.name
    depth, columns = node.inputs[1].shape
    rows, flat = gs.Variable(f"{name}.rows", x.dtype), gs.Variable(f"{name}.flat", x.dtype)
    _make_gemm(node, add, flat)
    node.inputs[0] = rows
    flatten = gs.Constant(f"{name}.flatten.shape", np.array([-1, depth], dtype=np.int64))
    for label, source, shape, target in (
        ("flatten", x, flatten, rows),
        ("restore", flat, _restored(graph, name, x, columns), result),
    ):
        graph.nodes.append(gs.Node("Reshape", f"{name}.{label}", {}, [source, shape], [target]))


def _restored(graph: gs.Graph, name: str, x: gs.Variable, columns: int) -> gs.Tensor:
    """Return the shape of the product: a constant where one inferred extent suffices."""
    if _symbolic(x.shape[:-1]) <= 1:
        back = [extent if isinstance(extent, int) else -1 for extent in x.shape[:-1]]
        return gs.Constant(f"{name}.restore.shape", np.array([*back, columns], dtype=np.int64))
    leading = gs.Variable(f"{name}.leading", np.int64, [len(x.shape) - 1])
    shape = gs.Variable(f"{name}.restore.shape", np.int64, [len(x.shape)])
    last = gs.Constant(f"{name}.columns", np.array([columns], dtype=np.int64))
    graph.nodes.append(gs.Node("Shape", f"{name}.shape", {"start": 0, "end": -1}, [x], [leading]))
    graph.nodes.append(gs.Node("Concat", f"{name}.join", {"axis": 0}, [leading, last], [shape]))
    return shape
