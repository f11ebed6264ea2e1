"""Cross-layer equalization: move scale from a layer's output channels into the next layer's inputs.

With ``y = relu(W1 x + b1)`` and ``z = W2 y``, any positive s per channel gives the same z from
``relu((W1 x + b1) / s)`` and ``W2 s``; the s that makes both weight ranges equal is
``s_i = sqrt(r1_i r2_i) / r2_i`` [Nagel et al. 2019, Data-Free Quantization, eq. 11].
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from passes.api import Aspect, Pass, PassContext, PassResult
from passes.ir.layers import Layer, find_layers
from passes.transform.fold_batchnorm import scale_output_channels

if TYPE_CHECKING:
    import onnx_graphsurgeon as gs
    from numpy.typing import NDArray

    from passes.ir.model import Model

MIN_RANGE = 1e-8
_HOMOGENEOUS = ("Relu", "LeakyRelu", "PRelu")
"""Functions f with ``f(s x) = s f(x)`` for every s > 0."""


@dataclass(frozen=True)
class Equalize(Pass):
    """Equalize chains of layers joined by nothing, or by a Relu, LeakyRelu or PRelu.

    A slope for each channel stays as it is: ``f(s x) = s f(x)`` for every s > 0.

    A Clip (Relu6) does not commute with a scale per channel, so such pairs are left as they are.

    Attributes:
        iterations: sweeps over all pairs.
        limit: largest factor by which a channel may change in one sweep.
    """

    name: ClassVar[str] = "equalize"
    iterations: int = 20
    limit: float = 1e4

    def run(self, model: Model, ctx: PassContext) -> PassResult:
        """Sweep until the factors settle or the iterations are used up."""
        pairs = _pairs(model.graph)
        for _ in range(self.iterations if pairs else 0):
            moved = max(self._equalize(first, second) for first, second in pairs)
            if moved < 1e-3:
                break
        wrote = Aspect.WEIGHTS if pairs else Aspect.NONE
        return PassResult(wrote, f"{len(pairs)} pairs of layers equalized", {"pairs": len(pairs)})

    def _equalize(self, first: Layer, second: Layer) -> float:
        """Equalize one pair and return the largest logarithm of a factor."""
        out_range = channel_range(first.weight_values(), first.channel_axis)
        in_range = _input_range(second)
        usable = (out_range > MIN_RANGE) & (in_range > MIN_RANGE)
        factor = np.where(usable, np.sqrt(out_range / np.where(usable, in_range, 1.0)), 1.0)
        factor = np.clip(factor, 1 / self.limit, self.limit)
        scale_output_channels(first, 1.0 / factor)
        if first.bias is not None:
            first.bias.values = (np.asarray(first.bias.values) / factor).astype(np.float32)
        _scale_input_channels(second, factor)
        return float(np.abs(np.log(factor)).max())


def channel_range(weight: NDArray[np.float32], axis: int) -> NDArray[np.float64]:
    """Return the largest magnitude of each slice along an axis, shape (channels,)."""
    others = tuple(index for index in range(weight.ndim) if index != axis)
    return np.asarray(np.abs(weight).max(axis=others), dtype=np.float64)


def _pairs(graph: gs.Graph) -> list[tuple[Layer, Layer]]:
    outputs = {tensor.name for tensor in graph.outputs}
    layers = {layer.name: layer for layer in find_layers(graph)[0]}
    pairs = []
    for first in layers.values():
        second = layers.get(_next_layer(first.node, outputs) or "")
        if (
            second is not None
            and first.weight is not None
            and second.weight is not None
            and _compatible(first, second)
        ):
            pairs.append((first, second))
    return pairs


def _next_layer(node: gs.Node, outputs: set[str]) -> str | None:
    """Return the only reader of a layer's output, seen through one function that keeps positive factors."""
    for _ in range(2):
        result = node.outputs[0]
        if len(result.outputs) != 1 or result.name in outputs:
            return None
        reader = result.outputs[0]
        if reader.inputs[0] is not result:
            return None
        if reader.op not in _HOMOGENEOUS:
            return str(reader.name)
        node = reader
    return None


def _compatible(first: Layer, second: Layer) -> bool:
    dense_first = first.op in ("Conv", "Gemm", "MatMul")
    dense_second = second.op in ("Conv", "Gemm", "MatMul") and (second.groups == 1 or second.depthwise)
    same_kind = (first.op == "Conv") == (second.op == "Conv")
    channels = first.weight.shape[first.channel_axis]  # type: ignore[union-attr]
    return dense_first and dense_second and same_kind and channels == _input_channels(second)


def _input_channels(layer: Layer) -> int:
    shape = layer.weight.shape  # type: ignore[union-attr]
    return int(shape[0] if layer.depthwise else shape[1 - layer.channel_axis])


def _input_range(layer: Layer) -> NDArray[np.float64]:
    return channel_range(layer.weight_values(), layer.input_axis)


def _scale_input_channels(layer: Layer, factor: NDArray[np.float64]) -> None:
    weight = layer.weight_values()
    shape = tuple(-1 if axis == layer.input_axis else 1 for axis in range(weight.ndim))
    layer.weight.values = (weight * factor.reshape(shape)).astype(np.float32)  # type: ignore[union-attr]
