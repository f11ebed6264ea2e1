"""A constant row put in front of, or behind, computed ones (the class token of a transformer) is a sum.

``Concat(Expand(token), x)`` is ``Pad(x) + c`` with the token in ``c`` and zeros elsewhere; unlike an Expand
to a size that is known at run time only, both have an integer form.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx_graphsurgeon as gs

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from passes.ir.known_integers import Values

PAD_OPSET = 11
"""Since then the pads of a Pad are an input."""


def fuse_tokens(graph: gs.Graph, known: Values) -> int:
    """Replace every such Concat, and join sums with two constants; return how many nodes changed.

    Args:
        graph: changed in place; replaced nodes stay, unread, for a cleanup.
        known: integers that are known in advance, from `passes.ir.known_integers`.
    """
    if graph.opset < PAD_OPSET:
        return 0
    changed = sum([_replace(graph, node, known) for node in list(graph.nodes) if node.op == "Concat"])
    return changed + sum([_join_sums(graph, node) for node in graph.nodes if node.op == "Add"])


def _replace(graph: gs.Graph, node: gs.Node, known: Values) -> int:
    if len(node.inputs) != 2 or any(tensor.shape is None for tensor in node.inputs):
        return 0
    for index, token in enumerate(node.inputs):
        x = node.inputs[1 - index]
        values = _token(token, node.attrs["axis"] % len(token.shape), known)
        if values is not None and isinstance(x, gs.Variable) and len(x.shape) == values.ndim:
            axis = node.attrs["axis"] % values.ndim
            if isinstance(x.shape[axis], int):
                _put_sum(graph, node, x, values, axis, in_front=index == 0)
                return 1
    return 0


def _token(tensor: gs.Tensor, axis: int, known: Values) -> NDArray[np.float32] | None:
    """Return the constant behind an Expand that leaves one axis as it is."""
    expand = tensor.inputs[0] if len(tensor.inputs) == 1 else None
    if expand is None or expand.op != "Expand" or not isinstance(expand.inputs[0], gs.Constant):
        return None
    values = np.asarray(expand.inputs[0].values)
    shape = expand.inputs[1]
    target = shape.values if isinstance(shape, gs.Constant) else known.get(shape.name)
    if target is None or len(target) != values.ndim or values.dtype != np.float32:
        return None
    return values if target[axis] in (1, values.shape[axis]) else None


def _put_sum(
    graph: gs.Graph, node: gs.Node, x: gs.Variable, values: NDArray[np.float32], axis: int, *, in_front: bool
) -> None:
    """Pad with zeros in place of the Concat, and add the token where the zeros are."""
    widths = np.zeros((2, values.ndim), dtype=np.int64)
    widths[0 if in_front else 1, axis] = values.shape[axis]
    empty = np.zeros([x.shape[axis] if index == axis else size for index, size in enumerate(values.shape)])
    joined = np.concatenate((values, empty) if in_front else (empty, values), axis)
    addend = gs.Constant(f"{node.name}.token", joined.astype(np.float32))
    padded = gs.Variable(f"{node.name}.padded", x.dtype)
    pads = gs.Constant(f"{node.name}.pads", widths.reshape(-1))
    graph.nodes.append(gs.Node("Pad", f"{node.name}.pad", {}, [x, pads], [padded]))
    result = node.outputs[0]
    node.inputs.clear()
    node.outputs.clear()
    graph.nodes.append(gs.Node("Add", node.name, {}, [padded, addend], [result]))
    node.name = f"{node.name}.replaced"


def _join_sums(graph: gs.Graph, node: gs.Node) -> int:
    """Add the two constants of ``(x + c) + d`` in advance."""
    first, second = _addend(node), None
    result = node.outputs[0] if node.outputs else None
    if first is None or result is None or len(result.outputs) != 1 or result in graph.outputs:
        return 0
    reader = result.outputs[0]
    second = _addend(reader) if reader.op == "Add" else None
    if second is None:
        return 0
    total = gs.Constant(f"{reader.name}.addend", np.asarray(first.values + second.values))
    reader.inputs = [next(tensor for tensor in node.inputs if tensor is not first), total]
    return 1


def _addend(node: gs.Node) -> gs.Constant | None:
    constants = [tensor for tensor in node.inputs if isinstance(tensor, gs.Constant)]
    return constants[0] if len(constants) == 1 and constants[0].dtype == np.float32 else None
