r"""Fold BatchNormalization into the layer before it.

    y = gamma * (W x + b - mean) / sqrt(var + eps) + beta
      = (k W) x + (k (b - mean) + beta)  with  k = gamma / sqrt(var + eps)

ONNX BatchNormalization, opset 7 to 15, inference form.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import onnx_graphsurgeon as gs

from passes.api import Aspect, Pass, PassContext, PassResult
from passes.ir.layers import Layer, find_layers

if TYPE_CHECKING:
    from passes.ir.model import Model

DEFAULT_EPSILON = 1e-5


@dataclass(frozen=True)
class FoldBatchNorm(Pass):
    """Scale each layer's weights by the normalization that alone reads its output."""

    name: ClassVar[str] = "fold-batchnorm"

    def run(self, model: Model, ctx: PassContext) -> PassResult:
        """Fold what can be folded; the journal says why the rest cannot."""
        graph = model.graph
        layers = {layer.output.name: layer for layer in find_layers(graph)[0]}
        outputs = {tensor.name for tensor in graph.outputs}
        folded = 0
        for node in graph.nodes:
            if node.op == "BatchNormalization":
                layer = layers.get(node.inputs[0].name)
                reason = _obstacle(node, layer, outputs)
                if reason or layer is None:
                    ctx.note(self.name, node.name, reason)
                else:
                    _fold(node, layer)
                    folded += 1
        graph.cleanup().toposort()
        wrote = Aspect.GRAPH | Aspect.WEIGHTS if folded else Aspect.NONE
        return PassResult(wrote, f"{folded} batch normalizations folded", {"folded": folded})


def _obstacle(node: gs.Node, layer: Layer | None, outputs: set[str]) -> str:
    if layer is None or layer.weight is None or layer.recurrent:
        return "it does not follow a layer with constant weights"
    if len(layer.output.outputs) != 1 or layer.output.name in outputs:
        return f"the output of {layer.name} has other readers"
    if not all(isinstance(tensor, gs.Constant) for tensor in node.inputs[1:5]):
        return "its statistics are computed at run time"
    if any(tensor.values.ndim != 1 for tensor in node.inputs[1:5]):
        return "its statistics are not one per channel"
    # Before opset 14, results behind the first stand for training, whether anything reads them or not.
    if node.attrs.get("training_mode", 0) or any(tensor.name for tensor in node.outputs[1:]):
        return "it is in training mode"
    return (
        "" if fits(layer, *_folded(node, layer)) else "its variances are negative, or its factors not finite"
    )


def fits(layer: Layer, factor: np.ndarray, bias: np.ndarray) -> bool:
    """Tell whether a layer's weights times a factor per channel, and a bias, are finite in float32."""
    with np.errstate(invalid="ignore", over="ignore"):
        weights = np.abs(layer.weight_values()).max(initial=0) * np.abs(factor).max(initial=0)
        return bool(np.abs([weights, *bias]).max() < np.finfo(np.float32).max)


def _folded(node: gs.Node, layer: Layer) -> tuple[np.ndarray, np.ndarray]:
    """Return the factors of the weights and the new bias, shape (channels,); NaN where there is none."""
    gamma, beta, mean, var = (np.asarray(tensor.values, dtype=np.float64) for tensor in node.inputs[1:5])
    old = np.zeros_like(mean) if layer.bias is None else np.asarray(layer.bias.values, dtype=np.float64)
    with np.errstate(all="ignore"):
        factor = gamma / np.sqrt(var + float(node.attrs.get("epsilon", DEFAULT_EPSILON)))
        return factor, factor * (old - mean) + beta


def _fold(node: gs.Node, layer: Layer) -> None:
    factor, bias = _folded(node, layer)
    scale_output_channels(layer, factor)
    set_bias(layer, bias)
    result = node.outputs[0]
    node.inputs.clear()
    node.outputs.clear()
    layer.node.outputs = [result]


def scale_output_channels(layer: Layer, factor: np.ndarray) -> None:
    """Multiply the weights of each output channel by its factor, shape (channels,)."""
    weight = layer.weight_values().astype(np.float64)
    if layer.op == "ConvTranspose":
        per_group = factor.reshape(layer.groups, 1, -1)
        grouped = weight.reshape(layer.groups, -1, *weight.shape[1:])
        shape = (*per_group.shape, *([1] * (grouped.ndim - 3)))
        scaled = (grouped * per_group.reshape(shape)).reshape(weight.shape)
    else:
        shape = tuple(-1 if axis == layer.channel_axis else 1 for axis in range(weight.ndim))
        scaled = weight * factor.reshape(shape)
    layer.weight.values = scaled.astype(np.float32)  # type: ignore[union-attr]


def set_bias(layer: Layer, values: np.ndarray) -> None:
    """Give a layer a bias, shape (channels,), adding the input to the node when it has none."""
    if layer.bias is not None:
        layer.bias.values = values.astype(np.float32)
        return
    bias = gs.Constant(f"{layer.name}.bias", values.astype(np.float32))
    layer.node.inputs = [*layer.node.inputs[:2], bias]
