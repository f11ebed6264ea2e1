"""Factors and summands of the channels behind a convolution fold into its weights and its bias.

So are biases written that are added apart, and batch normalizations in frozen graphs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx_graphsurgeon as gs

from passes.ir.layers import Layer, find_layers
from passes.transform.fold_batchnorm import fits, scale_output_channels, set_bias

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Step = tuple[gs.Node, NDArray[np.float64], NDArray[np.float64]]

_ORDERED = frozenset({"Div", "Sub"})
_OPS = _ORDERED | {"Mul", "Add"}


def fold_affine(graph: gs.Graph) -> int:
    """Fold every Mul, Div, Add and Sub of one constant per channel that alone reads a convolution's result.

    Args:
        graph: in topological order, every layer with weights of its own; changed in place. Folded nodes stay,
            without tensors, for a cleanup.

    Returns:
        How many were folded.
    """
    outputs = {tensor.name for tensor in graph.outputs}
    layers = [layer for layer in find_layers(graph)[0] if layer.op in ("Conv", "ConvTranspose")]
    return sum([_fold(layer, outputs) for layer in layers if layer.weight is not None])


def _fold(layer: Layer, outputs: set[str]) -> int:
    shape = layer.weight_values().shape
    channels = shape[0] if layer.op == "Conv" else shape[1] * layer.groups
    factor, bias = np.ones(channels), np.zeros(channels)
    if layer.bias is not None:
        bias += np.asarray(layer.bias.values, np.float64)
    folded: list[gs.Node] = []
    result = layer.output
    while (found := _reader(result, channels, len(shape), outputs)) is not None:
        node, scale, shift = found
        if not fits(layer, factor * scale, bias * scale + shift):
            break
        factor, bias, result = factor * scale, bias * scale + shift, node.outputs[0]
        folded.append(node)
    if folded:
        scale_output_channels(layer, factor)
        set_bias(layer, bias)
        for node in folded:
            node.inputs.clear()
            node.outputs.clear()
        layer.node.outputs = [result]
    return len(folded)


def _reader(tensor: gs.Variable, channels: int, rank: int, outputs: set[str]) -> Step | None:
    """Return the only reader of a tensor, what it multiplies by and what it adds, where these can fold."""
    node = tensor.outputs[0] if len(tensor.outputs) == 1 and tensor.name not in outputs else None
    if (
        node is None
        or node.op not in _OPS
        or node.domain
        or (node.op in _ORDERED and node.inputs[0] is not tensor)
    ):
        return None
    values = _per_channel(node, channels, rank)
    if values is None or (node.op == "Div" and not values.all()):
        return None
    if node.op in ("Mul", "Div"):
        return node, values if node.op == "Mul" else 1 / values, np.zeros(1)
    return node, np.ones(1), values if node.op == "Add" else -values


def _per_channel(node: gs.Node, channels: int, rank: int) -> NDArray[np.float64] | None:
    """Return the constant operand, of shape (channels,) or (1,), where it is one number per channel."""
    constants = [tensor for tensor in node.inputs if isinstance(tensor, gs.Constant)]
    if len(constants) != 1 or constants[0].dtype != np.float32 or len(constants[0].shape) > rank:
        return None
    values = np.asarray(constants[0].values, np.float64)
    whole = values.reshape((1,) * (rank - values.ndim) + values.shape)
    return whole.reshape(-1) if whole.size in (1, channels) and whole.shape[1] == whole.size else None
