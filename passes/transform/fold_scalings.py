"""Fold the scaling of a tensor by one number into the weights that it is computed from.

Attention divides its scores by the root of the size of a head. Between the product of queries and keys and
the layer that gives the queries every operator is linear, so that the layer's weight and bias can hold the
factor: an operator less to run, and a tensor less to round.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx_graphsurgeon as gs

from passes.ir.kinds import scaling

if TYPE_CHECKING:
    from collections.abc import Iterator

_MOVES = frozenset(
    {"Reshape", "Transpose", "Squeeze", "Unsqueeze", "Flatten", "Slice", "Gather", "Expand", "Identity"}
)
_SUMS = frozenset({"Add", "Sub", "Concat"})
_PRODUCTS = frozenset({"Mul", "MatMul"})
_DENSE = frozenset({"Gemm", "MatMul"})

Path = dict[str, gs.Node]
"""Nodes through which a factor passes, by name; those with constant weights are where it ends."""


def fold_scalings(graph: gs.Graph) -> int:
    """Fold every such multiplication or division by a positive constant; return how many were.

    Args:
        graph: in topological order, with unique names; changed in place. Nodes left without readers stay
            for a cleanup.
    """
    return sum([_fold(graph, node) for node in list(graph.nodes) if scaling(node) is not None])


def _fold(graph: gs.Graph, node: gs.Node) -> int:
    source, result, factor = node.inputs[0], node.outputs[0], scaling(node)
    path = _path(source)
    if path is None or factor is None or result in graph.outputs or not _alone(graph, path, node):
        return 0
    for leaf in path.values():
        for tensor in _constants(leaf):
            scaled = np.asarray(tensor.values, np.float64) * (factor if node.op == "Mul" else 1 / factor)
            tensor.values = scaled.astype(np.float32)
    for reader in list(result.outputs):
        reader.inputs = [source if tensor is result else tensor for tensor in reader.inputs]
    node.inputs.clear()
    node.outputs.clear()
    return 1


def _path(tensor: gs.Tensor) -> Path | None:
    """Return the nodes between a tensor and the layers that it is proportional to, or ``None``."""
    if not isinstance(tensor, gs.Variable) or len(tensor.inputs) != 1:
        return None
    node = tensor.inputs[0]
    own = {node.name: node}
    if _constants(node):
        return own
    if node.op in _MOVES:
        return _joined(own, _path(node.inputs[0]))
    if node.op in _SUMS:
        return _joined(own, *(_path(it) for it in node.inputs))
    if node.op in _PRODUCTS:
        found = next((it for it in map(_path, node.inputs) if it is not None), None)
        return _joined(own, found)
    return None


def _joined(*paths: Path | None) -> Path | None:
    nodes: Path = {}
    for path in paths:
        if path is None:
            return None
        nodes |= path
    return nodes


def _alone(graph: gs.Graph, path: Path, node: gs.Node) -> bool:
    """Tell whether what is computed on a path reaches nothing else, and each sum adds up only what is."""
    inside = path.keys() | {node.name}
    outputs = {tensor.name for tensor in graph.outputs}
    return all(
        tensor.name not in outputs and all(reader.name in inside for reader in tensor.outputs)
        for tensor in _results(path)
    )


def _results(path: Path) -> Iterator[gs.Variable]:
    return (tensor for node in path.values() for tensor in node.outputs)


def _constants(node: gs.Node) -> tuple[gs.Constant, ...]:
    """Return weight and bias of a layer with constants of its own; empty for everything else."""
    if node.op not in _DENSE or not isinstance(node.inputs[1], gs.Constant):
        return ()
    constants = [tensor for tensor in node.inputs[1:] if tensor.name]
    own = all(
        isinstance(it, gs.Constant) and it.dtype == np.float32 and len(it.outputs) == 1 for it in constants
    )
    return tuple(constants) if own else ()
