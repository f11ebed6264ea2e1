"""Bias absorption: what a channel never falls below moves past its Relu into the next bias.

With ``y = relu(x)`` and x never below c, ``relu(x - c) = y - c``: the first bias gives up c, the next one
takes ``W c``, and the range of y begins at zero again [Nagel et al. 2019, Data-Free Quantization, section
4.1.3, which takes c from the statistics of a batch normalization; here it is what calibration saw].
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from passes.api import Aspect, Pass, PassContext, PassResult
from passes.execution.channels import observe_rows
from passes.ir.constants import constants_of
from passes.ir.setup import quantizer_setup

if TYPE_CHECKING:
    import onnx_graphsurgeon as gs
    from numpy.typing import NDArray

    from passes.ir.layers import Layer
    from passes.ir.model import Model

_NORMAL = ("Conv", "Gemm")
"""Layers with a place for a bias, whose results are sums over all of their inputs."""


@dataclass(frozen=True)
class AbsorbBias(Pass):
    """Lower the activations of channels that are never near zero, where that shrinks the range of the tensor.

    Both layers must have a bias already, and the second must not pad: padding puts zeros where c would be
    missing. Only constants change; the plan keeps them, as they depend on data.

    It is no part of the preset: in a ResNet-20 and a keyword spotter no channel behind a Relu stays positive
    on calibration data; in a MobileNetV2 892 of 15552 do, but behind a Clip, which bounds them above as well.

    Attributes:
        gain: least share of the range of a tensor that must be won.
    """

    name: ClassVar[str] = "absorb-bias"
    keeps_constants: ClassVar[bool] = True
    gain: float = 0.05

    def run(self, model: Model, ctx: PassContext) -> PassResult:
        """Absorb in every pair of layers where it is worth it.

        Raises:
            UsageError: there are no calibration data.
            ModelError: an activation is NaN or infinite; the message names it.
        """
        pairs = _pairs(model.graph, quantizer_setup(model.graph, ctx.target).layers)
        axes = {second.act.name: 1 for _, second in pairs}
        seen = observe_rows(model, ctx, axes, 0) if pairs else {}
        changed: set[str] = set()
        absorbed = 0
        for first, second in pairs:
            found = seen[second.act.name]
            floor = np.maximum(found.lowest, 0.0)
            if (found.largest - floor).max() < (1 - self.gain) * found.largest.max():
                _absorb(first, second, floor)
                changed |= {layer.bias.name for layer in (first, second) if layer.bias is not None}
                absorbed += 1
        facts = {"pairs": len(pairs), "absorbed": absorbed}
        summary = f"{absorbed} of {len(pairs)} pairs of layers have absorbed biases"
        if not absorbed:
            return PassResult(Aspect.NONE, summary, facts)
        kept = constants_of(model.graph, changed | model.plan.constants.keys())
        model.plan = replace(model.plan, constants=kept)
        return PassResult(Aspect.WEIGHTS | Aspect.PLAN, summary, facts)


def _pairs(graph: gs.Graph, layers: tuple[Layer, ...]) -> list[tuple[Layer, Layer]]:
    """Return layers joined by one Relu that nothing else reads."""
    outputs = {tensor.name for tensor in graph.outputs}
    by_act = {layer.act.name: layer for layer in layers}
    pairs = []
    for first in layers:
        relu = _only_reader(first.output, outputs)
        act = relu.outputs[0] if relu is not None and relu.op == "Relu" else None
        second = by_act.get(act.name) if act is not None else None
        if act is None or second is None or _only_reader(act, outputs) is not second.node:
            continue
        if _has_bias(first) and _has_bias(second) and _unpadded(second):
            pairs.append((first, second))
    return pairs


def _only_reader(tensor: gs.Variable, outputs: set[str]) -> gs.Node | None:
    return tensor.outputs[0] if len(tensor.outputs) == 1 and tensor.name not in outputs else None


def _has_bias(layer: Layer) -> bool:
    return layer.op in _NORMAL and layer.bias is not None and len(layer.bias.outputs) == 1


def _unpadded(layer: Layer) -> bool:
    """Tell whether a layer reads nothing but its input; a padding that depends on the size counts as one."""
    padding = any(layer.node.attrs.get("pads", ())) or layer.node.attrs.get("auto_pad", "NOTSET") not in (
        "NOTSET",
        "VALID",
    )
    return layer.op == "Gemm" or not padding


def _absorb(first: Layer, second: Layer, floor: NDArray[np.float64]) -> None:
    """Move what each channel never falls below, shape (channels,), from one bias to the other."""
    weight = second.weight_values().astype(np.float64)
    if second.op == "Gemm":
        moved = (weight if second.channel_axis == 0 else weight.T) @ floor
    else:
        per_group = floor.reshape(second.groups, -1)
        summed = weight.reshape(second.groups, -1, weight.shape[1], int(np.prod(weight.shape[2:]))).sum(
            axis=3
        )
        moved = np.einsum("goi,gi->go", summed, per_group).reshape(-1)
    for layer, shift in ((first, -floor), (second, moved)):
        values = np.asarray(layer.bias.values, dtype=np.float64)  # type: ignore[union-attr]
        layer.bias.values = (values + shift).astype(np.float32)  # type: ignore[union-attr]
