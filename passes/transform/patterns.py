"""Steps along the edges of a graph, from which patterns of operators are put together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnx_graphsurgeon as gs

if TYPE_CHECKING:
    from numpy.typing import NDArray


def producer(tensor: gs.Tensor, op: str) -> gs.Node | None:
    """Return the node that computes a tensor, if it is of this kind."""
    return tensor.inputs[0] if len(tensor.inputs) == 1 and tensor.inputs[0].op == op else None


def reader(tensor: gs.Variable, op: str) -> gs.Node | None:
    """Return the only reader of a tensor, if it is of this kind."""
    return tensor.outputs[0] if len(tensor.outputs) == 1 and tensor.outputs[0].op == op else None


def constant(node: gs.Node) -> NDArray[Any] | None:
    """Return the values of the one constant input of a node, or ``None``."""
    constants = [tensor for tensor in node.inputs if isinstance(tensor, gs.Constant)]
    return np.asarray(constants[0].values) if len(constants) == 1 else None


def scalar(node: gs.Node) -> float | None:
    """Return the one constant input of a node where it is a single number, or ``None``."""
    values = constant(node)
    return float(values.item()) if values is not None and values.size == 1 else None


def along_last(node: gs.Node) -> bool:
    """Tell whether a reduction runs along the last axis and keeps it (axes as attribute or, later, input)."""
    shape, axes = node.inputs[0].shape, node.attrs.get("axes")
    if axes is None and len(node.inputs) > 1 and isinstance(node.inputs[1], gs.Constant):
        axes = node.inputs[1].values.tolist()
    if axes is None or shape is None or not node.attrs.get("keepdims", 1):
        return False
    return list(axes) in ([-1], [len(shape) - 1])
