"""Bias correction: take the mean error that rounded weights make out of the output.

With ``W' = W + dW`` the output moves by ``dW E[x]`` on average; the bias gives it back
[Nagel et al. 2019, Data-Free Quantization, section 4.2, with E[x] from calibration data].
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from passes.api import Aspect, Pass, PassContext, PassResult
from passes.errors import PreconditionError
from passes.execution.collect import MEANS, CollectActivations
from passes.execution.stuffed import implicit_padding, transposed_window
from passes.ir.float_layers import fitted
from passes.ir.layers import Layer, static_shape, weight_matrix
from passes.ir.setup import quantizer_setup
from passes.ir.weights import rounded_weight
from passes.ir.window import ConvWindow

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from passes.ir.model import Model
    from passes.ir.plan import TensorQuant


@dataclass(frozen=True)
class BiasCorrection(Pass):
    """Correct the bias of every layer whose weights have at most a number of bits; the plan keeps the result.

    A MatMul has no place for a bias and is left alone.

    Attributes:
        max_bits: layers of wider weights are left alone: their mean error is negligible.
    """

    name: ClassVar[str] = "bias-correction"
    observes: ClassVar[frozenset[str]] = frozenset({MEANS})
    max_bits: int = 8

    def check(self, model: Model, ctx: PassContext) -> None:
        """Scales must have been assigned."""
        if any(quant.params is None for quant in model.plan.tensors.values()):
            raise PreconditionError("bias-correction: run assign-scales first")

    def run(self, model: Model, ctx: PassContext) -> PassResult:
        """Shift the biases."""
        setup = fitted(quantizer_setup(model.graph, ctx.target), model.plan)
        found, left = corrected_biases(setup.layers, model, ctx, self.max_bits)
        for layer in left:
            ctx.note(self.name, layer.name, f"the bias of this {layer.op} is not corrected")
        biases = {**model.plan.biases, **found}
        model.plan = replace(model.plan, biases=biases)
        wrote = Aspect.PLAN if biases else Aspect.NONE
        return PassResult(wrote, f"{len(biases)} biases corrected", {"corrected": len(biases)})


def corrected_biases(
    layers: Sequence[Layer], model: Model, ctx: PassContext, max_bits: int
) -> tuple[dict[str, tuple[float, ...]], list[Layer]]:
    """Return biases without the mean error of weights that have the nearest integers, by layer name.

    Args:
        layers: with constant weights or without.
        model: its plan has scales.
        ctx: whose sweep observes means.
        max_bits: layers of wider weights are left alone.

    Returns:
        Biases, and layers that would need one but cannot have it.
    """
    biases: dict[str, tuple[float, ...]] = {}
    left: list[Layer] = []
    quants = model.plan.tensors
    named = [
        (layer, quants[layer.weight_name])
        for layer in layers
        if layer.weight is not None and layer.weight_name in quants
    ]
    for layer, quant in named:
        if quant.spec.format.bits > max_bits or quant.codes is not None:
            continue
        # Asked for here, so that there is no sweep where no layer needs it; it is run once.
        means = ctx.get(CollectActivations(), model).means
        if layer.op == "MatMul" or layer.name not in means or implicit_padding(layer):
            left.append(layer)
            continue
        shift = mean_output_error(layer, quant, means[layer.name])
        bias = 0.0 if layer.bias is None else np.asarray(layer.bias.values, dtype=np.float64)
        biases[layer.name] = tuple((bias - shift).astype(np.float32).tolist())
    return biases, left


def mean_output_error(layer: Layer, quant: TensorQuant, mean: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return ``dW E[x]`` per output channel.

    Args:
        layer: with constant weights.
        quant: specification and parameters of its weight.
        mean: of each channel of its input, shape (channels,).
    """
    values = layer.weight_values()
    error = rounded_weight(layer, quant).astype(np.float64) - values
    expected = mean[:, None] * inside_share(layer)[None]
    shift = np.einsum("gnd,gd->gn", weight_matrix(layer, error), expected.reshape(layer.groups, -1))
    return np.asarray(shift.reshape(-1))


def inside_share(layer: Layer) -> NDArray[np.float64]:
    """Return how often each kernel position falls on an element of the input, shape (taps,).

    Others fall on padding, or between the elements that a ConvTranspose spreads out.
    """
    spatial = (static_shape(layer.act) or ())[2:]
    if layer.op not in ("Conv", "ConvTranspose"):
        return np.ones(1)
    if not spatial:
        return np.ones(int(np.prod(layer.weight.shape[2:])))  # type: ignore[union-attr]
    spread = layer.op == "ConvTranspose"
    window = transposed_window(layer, spatial) if spread else ConvWindow.of(layer, spatial)
    apart = layer.node.attrs.get("strides") if spread else None
    share = np.ones(())
    for axis, size in enumerate(spatial):
        start = np.arange(window.out[axis]) * window.strides[axis] - window.pads[axis][0]
        at = start[None] + np.arange(window.kernel[axis])[:, None] * window.dilations[axis]
        step = apart[axis] if apart else 1
        share = share[..., None] * ((at >= 0) & (at < size * step) & (at % step == 0)).mean(axis=1)
    # The window over a spread input is read backwards.
    return share.reshape(-1)[:: -1 if spread else 1]
