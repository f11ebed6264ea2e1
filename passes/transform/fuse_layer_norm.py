"""The chains of operators by which exporters spell normalizations are one operator each.

LayerNormalization (ONNX, opset 17): ``(x - mean) / sqrt(var + eps) * gain + shift``; RMSNormalization (opset
23): ``x / sqrt(mean(x * x) + eps) * gain``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import onnx_graphsurgeon as gs

from passes.transform.patterns import along_last, constant, producer, reader, scalar

if TYPE_CHECKING:
    from numpy.typing import NDArray

LAYER_NORM_OPSET, RMS_NORM_OPSET = 17, 23


@dataclass(frozen=True, eq=False)
class Norm:
    """One chain.

    Attributes:
        op: the operator that it is.
        x: what it reads.
        result: what it writes.
        epsilon: added to the mean square.
        gain: float32, one per channel.
        shift: float32, one per channel, or ``None``.
    """

    op: str
    x: gs.Variable
    result: gs.Variable
    epsilon: float
    gain: NDArray[np.float32]
    shift: NDArray[np.float32] | None


def find_layer_norms(graph: gs.Graph) -> list[Norm]:
    """Return the chains that take off the mean."""
    return [norm for norm in _find(graph) if norm.op == "LayerNormalization"]


def find_rms_norms(graph: gs.Graph) -> list[Norm]:
    """Return the chains that do not take off the mean."""
    return [norm for norm in _find(graph) if norm.op == "RMSNormalization"]


def fuse_norm(graph: gs.Graph, norm: Norm) -> None:
    """Put the operator in place of its chain, which stays, unread, for a cleanup.

    The graph must be of the opset that has the operator.
    """
    name = f"{norm.result.inputs[0].name}.norm"
    vectors = [("gain", norm.gain), *([("shift", norm.shift)] if norm.shift is not None else [])]
    dtype = norm.x.dtype or np.float32
    constants = [gs.Constant(f"{name}.{label}", values.astype(dtype)) for label, values in vectors]
    norm.result.inputs.clear()
    attrs = {"axis": -1, "epsilon": norm.epsilon}
    graph.nodes.append(gs.Node(norm.op, name, attrs, [norm.x, *constants], [norm.result]))


def _find(graph: gs.Graph) -> list[Norm]:
    outputs = {tensor.name for tensor in graph.outputs}
    found = [_norm(node, outputs) for node in graph.nodes if node.op == "Sqrt"]
    return [norm for norm in found if norm is not None]


def _norm(root: gs.Node, outputs: set[str]) -> Norm | None:
    """Follow a square root backwards to what it is the root of, and forwards to what it divides."""
    found = mean_square(root)
    if found is None:
        return None
    epsilon, squared = found
    numerator, normal = _quotient(root)
    if numerator is None or normal is None:
        return None
    channels, source = squared.shape[-1], centred(squared)
    same = numerator is squared or (source is not None and centred(numerator) is source)
    if not same:
        return None
    gain, result = _affine(normal, "Mul", channels, outputs)
    if source is None:
        return Norm("RMSNormalization", squared, result, epsilon, _or_ones(gain, channels), None)
    shift, result = _affine(result, "Add", channels, outputs)
    return Norm("LayerNormalization", source, result, epsilon, _or_ones(gain, channels), shift)


def mean_square(root: gs.Node) -> tuple[float, gs.Variable] | None:
    """Return epsilon, and that of which a square root takes the mean square along the last axis."""
    total = producer(root.inputs[0], "Add")
    epsilon = None if total is None else scalar(total)
    mean = None if epsilon is None or total is None else _mean_of(total.inputs)
    squared = None if mean is None else _square_of(mean.inputs[0])
    if epsilon is None or squared is None or squared.shape is None or not isinstance(squared.shape[-1], int):
        return None
    return epsilon, squared


def _mean_of(tensors: list[gs.Tensor]) -> gs.Node | None:
    """Return the mean along the last axis, among the operands of the sum with epsilon."""
    means = [node for tensor in tensors if (node := producer(tensor, "ReduceMean")) is not None]
    return means[0] if len(means) == 1 and along_last(means[0]) else None


def _square_of(tensor: gs.Tensor) -> gs.Variable | None:
    """Return what a tensor is the square of."""
    power, product = producer(tensor, "Pow"), producer(tensor, "Mul")
    if power is not None and scalar(power) == 2.0 and isinstance(power.inputs[1], gs.Constant):
        return power.inputs[0]
    if product is not None and product.inputs[0] is product.inputs[1]:
        return product.inputs[0]
    return None


def centred(tensor: gs.Variable) -> gs.Variable | None:
    """Return what a tensor is less its own mean along the last axis."""
    difference = producer(tensor, "Sub")
    mean = None if difference is None else producer(difference.inputs[1], "ReduceMean")
    if difference is None or mean is None or mean.inputs[0] is not difference.inputs[0]:
        return None
    if not along_last(mean):
        return None
    return mean.inputs[0]


def _quotient(root: gs.Node) -> tuple[gs.Variable | None, gs.Variable | None]:
    """Return what the square root divides, directly or by its reciprocal, and the quotient."""
    result = root.outputs[0]
    if len(result.outputs) != 1:
        return None, None
    node = result.outputs[0]
    if node.op == "Div" and node.inputs[1] is result and isinstance(node.inputs[0], gs.Variable):
        return node.inputs[0], node.outputs[0]
    inverse = node.op == "Reciprocal" or (node.op == "Div" and scalar(node) == 1.0)
    product = reader(node.outputs[0], "Mul") if inverse else None
    if product is None:
        return None, None
    other = [tensor for tensor in product.inputs if tensor is not node.outputs[0]]
    return (other[0], product.outputs[0]) if len(other) == 1 else (None, None)


def _affine(
    tensor: gs.Variable, op: str, channels: int, outputs: set[str]
) -> tuple[NDArray[np.float32] | None, gs.Variable]:
    """Return the vector with which the only reader multiplies, or which it adds, and what that gives."""
    node = None if tensor.name in outputs else reader(tensor, op)
    values = None if node is None else constant(node)
    if node is None or values is None or values.dtype != np.float32:
        return None, tensor
    rank = len(tensor.shape) if tensor.shape is not None else 1
    if values.size != channels or values.shape[-1:] != (channels,) or values.ndim > rank:
        return None, tensor
    return values.reshape(-1), node.outputs[0]


def _or_ones(gain: NDArray[np.float32] | None, channels: int) -> NDArray[np.float32]:
    return np.ones(channels, np.float32) if gain is None else gain
