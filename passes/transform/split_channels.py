"""Channel splitting: input channels of outlying weights in two halves each.

``w x = w/2 x + w/2 x``: the channel is there twice, with half the weight each time, so that the largest
weight of a row, and with it the scale, falls. The layer before computes the channel twice [Zhao et al. 2019,
Improving Neural Network Quantization without Retraining using Outlier Channel Splitting, arXiv 1901.09504].
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import onnx_graphsurgeon as gs

from passes.api import Aspect, Pass, PassContext, PassResult
from passes.errors import UsageError
from passes.ir.ops import OpClass, op_info
from passes.ir.setup import quantizer_setup

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from hwmodels import HardwareModel
    from passes.ir.layers import Layer
    from passes.ir.model import Model

_DENSE = ("Conv", "Gemm", "MatMul")
_PER_ELEMENT = (OpClass.CLAMP, OpClass.UNARY)


@dataclass(frozen=True)
class SplitChannels(Pass):
    """Split the input channels of dense layers that raise the scales of their rows most.

    Conv without groups, Gemm and MatMul whose input comes from such a layer through functions of single
    elements and depthwise convolutions, and goes nowhere else. The layers stay ordinary ones, with more
    channels, and are priced as such. Layers that the target does not run on integers are left alone.

    Attributes:
        ratio: share of the input channels of each layer to split, rounded up.
    """

    name: ClassVar[str] = "split-channels"
    ratio: float = 0.02

    def __post_init__(self) -> None:
        """Check the option.

        Raises:
            UsageError: the ratio is not in (0, 1].
        """
        if not 0.0 < self.ratio <= 1.0:
            raise UsageError(f"split-channels: ratio must lie in (0, 1], found {self.ratio}")

    def run(self, model: Model, ctx: PassContext) -> PassResult:
        """Split layer by layer, in graph order."""
        chains = _Chains(model.graph, ctx.target)
        split, layers = 0, 0
        for name in chains.names():
            chain = chains.before(name)
            if isinstance(chain, str):
                ctx.note(self.name, name, chain)
                continue
            consumer = chains.layer(name)
            chosen = outlying_channels(_rows(consumer), self.ratio)
            if not len(chosen):
                continue
            _halve(consumer, chosen)
            for layer in chain:
                _repeat(layer, chosen)
            split, layers = split + len(chosen), layers + 1
        facts = {"channels": split, "layers": layers}
        wrote = Aspect.GRAPH | Aspect.WEIGHTS if split else Aspect.NONE
        return PassResult(wrote, f"{split} channels of {layers} layers split", facts)


def outlying_channels(rows: NDArray[np.float32], ratio: float) -> NDArray[np.intp]:
    """Return the channels whose splitting lowers the sum of the squared scales of all rows most, one by one.

    Args:
        rows: largest magnitudes, shape (rows, channels).
        ratio: share of the channels to return at most; fewer when no other lowers any scale.

    Returns:
        Different channels, in the order in which they were chosen.
    """
    sizes = np.array(rows, dtype=np.float64)
    chosen: list[int] = []
    while len(chosen) < math.ceil(ratio * sizes.shape[1]):
        order = np.argsort(sizes, axis=1)
        top = order[:, -1]
        largest = np.take_along_axis(sizes, top[:, None], 1)[:, 0]
        second = np.take_along_axis(sizes, order[:, -2:-1], 1)[:, 0] if sizes.shape[1] > 1 else 0.0
        gain = np.square(largest) - np.square(np.maximum(second, largest / 2))
        gains = np.bincount(top, weights=gain, minlength=sizes.shape[1])
        gains[chosen] = 0.0
        best = int(gains.argmax())
        if gains[best] <= 0.0:
            break
        chosen.append(best)
        sizes[:, best] /= 2
    return np.array(chosen, dtype=np.intp)


class _Chains:
    """Where the channels that a layer reads come from."""

    def __init__(self, graph: gs.Graph, target: HardwareModel | None) -> None:
        self._layers = {layer.name: layer for layer in quantizer_setup(graph, target).layers}
        self._outputs = {tensor.name for tensor in graph.outputs}
        self._readers: Mapping[str, int] = Counter(
            it.name for node in graph.nodes for it in node.inputs if isinstance(it, gs.Constant)
        )

    def names(self) -> list[str]:
        """Return the dense layers with constant weights."""
        return [name for name, layer in self._layers.items() if _dense(layer)]

    def layer(self, name: str) -> Layer:
        """Return a layer with its constants as they are now."""
        return self._layers[name]

    def before(self, name: str) -> list[Layer] | str:
        """Return the layers that have to compute a channel twice, or say why they cannot."""
        consumer = self._layers[name]
        if not self._own(consumer):
            return "its weight has other readers"
        found: list[Layer] = []
        tensor = consumer.act
        while not (found and _dense(found[-1])):
            if len(tensor.outputs) != 1 or tensor.name in self._outputs:
                return f"its input {tensor.name} has other readers"
            if not tensor.inputs:
                return "its input is one of the model"
            node = tensor.inputs[0]
            layer = self._layers.get(node.name)
            if layer is not None and self._own(layer) and _repeatable(layer, consumer):
                found.append(layer)
            elif layer is not None or op_info(node.op, node.domain).kind not in _PER_ELEMENT:
                return f"its input comes from {node.op} {node.name}"
            tensor = node.inputs[0]
        return found

    def _own(self, layer: Layer) -> bool:
        constants = [it for it in (layer.weight, layer.bias) if it is not None]
        return bool(constants) and all(self._readers[it.name] == 1 for it in constants)


def _repeatable(layer: Layer, consumer: Layer) -> bool:
    """Whether a layer has its channels where the consumer has them, each by itself or as a sum over all."""
    one_each = layer.depthwise and layer.weight_values().shape[0] == layer.groups
    return (layer.op == "Conv") == (consumer.op == "Conv") and (_dense(layer) or one_each)


def _dense(layer: Layer) -> bool:
    return layer.op in _DENSE and layer.weight is not None and layer.groups == 1


def _rows(layer: Layer) -> NDArray[np.float32]:
    """Return the largest magnitude of each row in each input channel, shape (rows, channels)."""
    weight = np.moveaxis(np.abs(layer.weight_values()), layer.channel_axis, 0)
    return np.asarray(weight.reshape(*weight.shape[:2], -1).max(axis=2))


def _halve(layer: Layer, chosen: NDArray[np.intp]) -> None:
    axis = 1 - layer.channel_axis
    weight = np.moveaxis(layer.weight_values(), axis, 0).copy()
    weight[chosen] /= 2
    _set(layer, np.moveaxis(np.concatenate([weight, weight[chosen]]), 0, axis))


def _repeat(layer: Layer, chosen: NDArray[np.intp]) -> None:
    """Compute some output channels once more, behind all others."""
    weight, axis = layer.weight_values(), layer.channel_axis
    _set(layer, np.concatenate([weight, np.take(weight, chosen, axis)], axis))
    if layer.bias is not None:
        bias = np.asarray(layer.bias.values)
        layer.bias.values = np.concatenate([bias, bias[chosen]])
    if layer.depthwise:
        layer.node.attrs["group"] = weight.shape[0] + len(chosen)
    tensor, place = layer.output, 1 if layer.op == "Conv" else -1
    while True:
        if tensor.shape is not None:
            shape = list(tensor.shape)
            shape[place] = weight.shape[axis] + len(chosen)
            tensor.shape = shape
        (reader,) = tensor.outputs
        if op_info(reader.op, reader.domain).kind not in _PER_ELEMENT:
            return
        tensor = reader.outputs[0]


def _set(layer: Layer, values: NDArray[np.float32]) -> None:
    layer.weight.values = np.ascontiguousarray(values)  # type: ignore[union-attr]
