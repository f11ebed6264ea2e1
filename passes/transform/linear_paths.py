"""From a tensor back to the layers that it is a linear function of: scaling their results scales it.

Attention reshapes, turns and adds up what its layers give before it multiplies queries by keys; all of it is
linear.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx_graphsurgeon as gs

if TYPE_CHECKING:
    from collections.abc import Collection

_MOVES = frozenset(
    {"Reshape", "Transpose", "Squeeze", "Unsqueeze", "Flatten", "Slice", "Gather", "Expand", "Identity"}
)
_SUMS = frozenset({"Add", "Sub", "Concat"})
_PRODUCTS = frozenset({"Mul", "MatMul"})
_DENSE = frozenset({"Gemm", "MatMul"})

Path = dict[str, gs.Node]
"""The nodes between a tensor and the layers that it is linear in, those included, by name."""


def linear_path(tensor: gs.Tensor) -> Path | None:
    """Return the way from a tensor back to layers with constants of their own, or ``None``.

    Through a product of two computed tensors it follows the first that is linear in layers.
    """
    if not isinstance(tensor, gs.Variable) or len(tensor.inputs) != 1:
        return None
    node = tensor.inputs[0]
    own = {node.name: node}
    if layer_constants(node):
        return own
    if node.op in _MOVES:
        return _joined(linear_path(node.inputs[0]), own)
    if node.op in _SUMS:
        return _joined(*(linear_path(it) for it in node.inputs), own)
    if node.op in _PRODUCTS:
        found = next((it for it in map(linear_path, node.inputs) if it is not None), None)
        return _joined(found, own)
    return None


def _joined(*paths: Path | None) -> Path | None:
    nodes: Path = {}
    for path in paths:
        if path is None:
            return None
        nodes |= path
    return nodes


def leads_only_to(path: Path, reader: gs.Node, outputs: Collection[str]) -> bool:
    """Tell whether nothing but one node reads what is computed on a path, and no result of the model is.

    Args:
        path: from `linear_path`.
        reader: the node at its end.
        outputs: names of the results of the model.
    """
    inside = path.keys() | {reader.name}
    results = [tensor for node in path.values() for tensor in node.outputs]
    return all(
        tensor.name not in outputs and all(it.name in inside for it in tensor.outputs) for tensor in results
    )


def layer_constants(node: gs.Node) -> tuple[gs.Constant, ...]:
    """Return weight and bias of a Gemm or MatMul with constants of its own; empty for everything else."""
    if node.op not in _DENSE or not isinstance(node.inputs[1], gs.Constant):
        return ()
    constants = [tensor for tensor in node.inputs[1:] if tensor.name]
    own = all(
        isinstance(it, gs.Constant) and it.dtype == np.float32 and len(it.outputs) == 1 for it in constants
    )
    return tuple(constants) if own else ()
