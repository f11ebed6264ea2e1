"""Streams: tensors of a convolutional network whose channels can be scaled together without any effect.

A convolution writes into a stream and convolutions read from it; between them stand operators that commute
with a positive factor per channel. The sums along a residual connection are one stream.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import networkx as nx
import numpy as np
import onnx_graphsurgeon as gs

from passes.ir.layers import Layer, find_layers
from passes.ir.setup import act_inputs
from passes.ir.ops import op_info
from passes.lowering.attributes import clamp_bounds

if TYPE_CHECKING:
    from collections.abc import Iterable

COMMUTING = frozenset(
    {"Relu", "LeakyRelu", "PRelu", "MaxPool", "AveragePool", "GlobalAveragePool", "GlobalMaxPool", "Identity"}
)
"""Operators f of one computed input with ``f(s x) = s f(x)`` for a positive s per channel."""


@dataclass(slots=True)
class Stream:
    """One stream.

    Attributes:
        tensors: names, in graph order.
        writers: convolutions whose output channels it has.
        readers: convolutions, dense or depthwise, whose input channels it has.
        bound: least upper bound of the Clips inside, or ``None``; a clipped channel cannot be scaled.
    """

    tensors: list[str] = field(default_factory=list)
    writers: list[Layer] = field(default_factory=list)
    readers: list[Layer] = field(default_factory=list)
    bound: float | None = None


def find_streams(graph: gs.Graph) -> list[Stream]:
    """Return every stream that can be scaled, in graph order."""
    layers = {layer.name: layer for layer in find_layers(graph)[0]}
    ties: nx.Graph[str] = nx.Graph()
    fixed = {tensor.name for tensor in (*graph.inputs, *graph.outputs)}
    for node in graph.nodes:
        layer = layers.get(node.name)
        touched = [tensor for tensor in (*node.inputs, *node.outputs) if isinstance(tensor, gs.Variable)]
        ties.add_nodes_from(tensor.name for tensor in touched)
        if layer is not None and layer.op == "Conv" and layer.weight is not None:
            fixed |= set() if layer.groups == 1 or layer.depthwise else {layer.act.name}
        elif _transparent(node):
            nx.add_path(ties, [tensor.name for tensor in touched])
        else:
            fixed |= {tensor.name for tensor in touched}
    order = {tensor.name: i for i, tensor in enumerate(t for node in graph.nodes for t in node.outputs)}
    parts = [sorted(part, key=order.__getitem__) for part in nx.connected_components(ties) if not part & fixed]
    streams = [_stream(part, graph, layers) for part in sorted(parts, key=lambda part: order[part[0]])]
    return [stream for stream in streams if stream.writers and stream.readers]


def _transparent(node: gs.Node) -> bool:
    computed = act_inputs(node, op_info(node.op, node.domain))
    shapes = [tensor.shape for tensor in (*computed, *node.outputs)]
    if any(shape is None or len(shape) != 4 or shape[1] != shapes[0][1] for shape in shapes):
        return False
    if node.op == "Clip":
        low, high = clamp_bounds(node)
        return low == 0.0 and high is not None and high > 0
    if node.op == "Add":
        return len(computed) == 2
    constants = all(isinstance(tensor, gs.Constant) for tensor in node.inputs[1:])
    return node.op in COMMUTING and constants and len(node.outputs) == 1


def _stream(names: list[str], graph: gs.Graph, layers: dict[str, Layer]) -> Stream:
    stream, members = Stream(names), set(names)
    for node in graph.nodes:
        layer = layers.get(node.name)
        if layer is not None:
            stream.writers += [layer] if layer.output.name in members else []
            stream.readers += [layer] if layer.act.name in members else []
        elif node.op == "Clip" and node.outputs[0].name in members:
            high = clamp_bounds(node)[1] or np.inf
            stream.bound = high if stream.bound is None else min(stream.bound, high)
    return stream


def scale_stream(stream: Stream, factors: Iterable[float]) -> None:
    """Divide what is written into a stream by a positive factor per channel and multiply what is read by it."""
    from passes.transform.fold_batchnorm import scale_output_channels

    factor = np.asarray(list(factors), dtype=np.float64)
    for layer in stream.writers:
        scale_output_channels(layer, 1.0 / factor)
        if layer.bias is not None:
            layer.bias.values = (np.asarray(layer.bias.values, np.float64) / factor).astype(np.float32)
    for layer in stream.readers:
        axis = 0 if layer.depthwise else 1
        shape = tuple(-1 if index == axis else 1 for index in range(len(layer.weight.shape)))  # type: ignore[union-attr]
        scaled = layer.weight_values() * factor.reshape(shape)
        layer.weight.values = scaled.astype(np.float32)  # type: ignore[union-attr]
