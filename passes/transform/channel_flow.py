"""Which channels of which tensors must be scaled together, in a graph of convolutions.

Every output channel of a layer gets a number. Operators that treat each channel by itself, and in proportion,
hand numbers on; a sum of two tensors makes theirs the same; whatever bends or mixes channels fixes them. A
layer takes any factors at its inputs back through its weights, and so numbers end there and begin anew.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx_graphsurgeon as gs
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from passes.ir.kinds import node_kind
from passes.ir.ops import OpClass
from passes.lowering.attributes import clamp_bounds

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from passes.ir.layers import Layer

    Channels = NDArray[np.int64]

_IN_PROPORTION = frozenset(
    {"Relu", "LeakyRelu", "PRelu", "Identity", "Dropout", "MaxPool", "AveragePool"}
    | {"GlobalAveragePool", "GlobalMaxPool"}
)
CHANNELS_SECOND = frozenset({"Conv", "ConvTranspose", "Gemm"})
"""Layers that read and write their channels on axis 1."""
_NONE: NDArray[np.int64] = np.empty(0, np.int64)


class ChannelFlow:
    """The numbers of all channels of a graph.

    Attributes:
        free: whether a factor may be given to it, shape (numbers,).
    """

    def __init__(self, graph: gs.Graph, layers: Mapping[str, Layer]) -> None:
        """Follow the channels of all layers.

        Args:
            graph: in topological order.
            layers: of `CHANNELS_SECOND`, with constants that nothing else reads, by name.
        """
        self._layers = layers
        self._of: dict[str, Channels] = {}
        self._same: list[Channels] = [np.empty((0, 2), np.int64)]
        self._fixed: list[Channels] = [_NONE]
        self._count = 0
        inside = {node.name for node in graph.nodes}
        for node in graph.nodes:
            self._follow(node)
        for tensor in graph.outputs:
            self._fix(tensor)
        for name, tensor in graph.tensors().items():
            if name in self._of and any(reader.name not in inside for reader in tensor.outputs):
                self._fix(tensor)
        self._settle()

    def of(self, tensor: gs.Tensor) -> Channels | None:
        """Return the numbers of a tensor's channels, shape (channels,), or ``None`` where it has none."""
        return self._of.get(tensor.name)

    def _follow(self, node: gs.Node) -> None:
        layer = self._layers.get(node.name)
        known = [tensor for tensor in node.inputs if tensor.name in self._of]
        if layer is not None:
            self._begin(layer)
            return
        handed = self._handed_on(node, known) if known and len(node.outputs) == 1 else None
        if handed is None:
            for tensor in known:
                self._fix(tensor)
        else:
            self._of[node.outputs[0].name] = handed

    def _begin(self, layer: Layer) -> None:
        """Number the output channels of a layer, whose weights take back what its input channels get."""
        if not (layer.groups == 1 or layer.depthwise):
            self._fix(layer.act)
        if layer.groups == 1 or layer.op == "Conv":
            channels = layer.weight.shape[layer.channel_axis]  # type: ignore[union-attr]
            self._of[layer.output.name] = np.arange(self._count, self._count + channels)
            self._count += channels

    def _handed_on(self, node: gs.Node, known: list[gs.Variable]) -> Channels | None:  # noqa: PLR0911 - one per kind
        """Return the numbers of a result, or ``None`` where channels are mixed or bent."""
        first, result = known[0], node.outputs[0]
        mine = self._of[first.name]
        if node.op in _IN_PROPORTION:
            return mine if node.inputs[0] is first and len(known) == 1 else None
        if node.op == "Clip" and len(known) == 1:
            return mine if _is_relu(node) else None
        if node.op == "Add" and len(known) == len(node.inputs) == 2:
            other = self._of[known[1].name]
            if len(first.shape or ()) != len(known[1].shape or ()) or len(other) != len(mine):
                return None
            self._same.append(np.stack([mine, other], axis=1))
            return mine
        if node.op == "Mul" and len(known) == 1:
            return mine if _is_beside(result, first, mine) else None
        if node.op == "Concat" and len(known) == len(node.inputs) and node.attrs.get("axis") == 1:
            return np.concatenate([self._of[tensor.name] for tensor in known])
        if node.op in ("Flatten", "Reshape", "Squeeze"):
            return mine if _is_vector(result, first, mine) else None
        return None

    def _fix(self, tensor: gs.Tensor) -> None:
        self._fixed.append(self._of.get(tensor.name, _NONE))

    def _settle(self) -> None:
        """Give channels that are scaled together one number, counted from zero."""
        pairs = np.concatenate(self._same)
        joined = coo_array((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(self._count,) * 2)
        count, numbers = connected_components(joined, directed=False) if self._count else (0, _NONE)
        self._of = {name: numbers[channels].astype(np.int64) for name, channels in self._of.items()}
        self.free = np.ones(count, dtype=bool)
        self.free[numbers[np.concatenate(self._fixed)]] = False


def _is_relu(node: gs.Node) -> bool:
    """Tell whether a Clip is a Relu.

    One with an upper bound is not in proportion: with factors it would cut off what it did not before, and
    what calibration saw is no bound of what comes.
    """
    if node_kind(node) is not OpClass.CLAMP:
        return False
    try:
        low, high = clamp_bounds(node)
    except (AttributeError, TypeError, ValueError):
        return False
    return low == 0 and (high is None or high >= float(np.finfo(np.float32).max))


def _is_beside(result: gs.Variable, tensor: gs.Variable, channels: Channels) -> bool:
    """Tell whether a product keeps the channels where they are: on axis 1 of as many axes."""
    return (
        bool(tensor.shape and result.shape)
        and len(tensor.shape) == len(result.shape) > 1
        and tensor.shape[1] == result.shape[1] == len(channels)
    )


def _is_vector(result: gs.Variable, tensor: gs.Variable, channels: Channels) -> bool:
    """Tell whether an image of one point becomes the vector of its channels."""
    return (
        bool(tensor.shape and result.shape)
        and len(result.shape) == 2
        and result.shape[1] == len(channels)
        and all(size == 1 for size in tensor.shape[2:])
    )
