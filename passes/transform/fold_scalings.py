"""Fold the scaling of a tensor by one number into the weights that it is computed from.

Attention divides its scores by the root of the size of a head. Between the product of queries and keys and
the layer that gives the queries every operator is linear, so that the layer's weight and bias can hold the
factor: an operator less to run, and a tensor less to round.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from passes.ir.kinds import scaling
from passes.transform.linear_paths import layer_constants, leads_only_to, linear_path

if TYPE_CHECKING:
    import onnx_graphsurgeon as gs


def fold_scalings(graph: gs.Graph) -> int:
    """Fold every such multiplication or division by a positive constant; return how many were.

    Args:
        graph: in topological order, with unique names; changed in place. Nodes left without readers stay
            for a cleanup.
    """
    outputs = {tensor.name for tensor in graph.outputs}
    return sum([_fold(node, outputs) for node in list(graph.nodes) if scaling(node) is not None])


def _fold(node: gs.Node, outputs: set[str]) -> int:
    source, result, factor = node.inputs[0], node.outputs[0], scaling(node)
    path = linear_path(source)
    if path is None or factor is None or result.name in outputs or not leads_only_to(path, node, outputs):
        return 0
    for tensor in (tensor for leaf in path.values() for tensor in layer_constants(leaf)):
        scaled = np.asarray(tensor.values, np.float64) * (factor if node.op == "Mul" else 1 / factor)
        tensor.values = scaled.astype(np.float32)
    for reader in list(result.outputs):
        reader.inputs = [source if tensor is result else tensor for tensor in reader.inputs]
    node.inputs.clear()
    node.outputs.clear()
    return 1
