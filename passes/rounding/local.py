"""Weights rounded by data, each layer by itself on its float inputs: what many plans are judged with.

`passes.transform.gptq` rounds a layer behind the layers rounded before it, so that its integers belong to one
plan. Those chosen here depend on the layer alone. They are computed once for a width and good for any plan,
and close enough to tell what data make of few bits: on MobileNetV2, weights of four bits with the nearest
integers lose 28 times as much as those, layer by layer between once and 150 times as much.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from passes.api import Analysis, Aspect, PassContext
from passes.execution.collect import CollectActivations
from passes.execution.moments import Moments
from passes.ir.layers import weight_matrix
from passes.rounding.round_layer import Curvature, RoundingOptions, RoundingTask, round_layer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from passes.ir.layers import Layer
    from passes.ir.model import Model
    from passes.ir.plan import QuantPlan, TensorQuant
    from passes.ir.setup import QuantizerSetup

    Key = tuple[str, TensorQuant]
    Rounded = tuple[TensorQuant, NDArray[np.float32] | None]
    """A weight with its codes, and the bias that goes with it, if any."""

OPTIONS = RoundingOptions(damping=0.01, act_order=True, sweeps=1, asymmetric=0.0, deviation=0.0, scales=1)
BYTE = 8
CURVATURES = 128 << 20
"""Bytes of factored moments that are kept for other widths; MobileNetV2 has 100 MB."""


@dataclass
class LocalRounding:
    """Rounded weights, each computed at its first use.

    Attributes:
        patches: inputs of layers, (samples, positions, groups, depth), by layer name.
    """

    patches: Mapping[str, NDArray[np.float32]]
    _found: dict[Key, Rounded] = field(default_factory=dict)
    _curvatures: dict[str, Curvature] = field(default_factory=dict)

    def rounded(self, layer: Layer, quant: TensorQuant) -> Rounded:
        """Return a weight with codes, and the bias that takes up its mean error.

        Weights of more than 8 bits, those with codes already, and those of layers whose inputs were not
        seen stay as they are, without a bias.

        Args:
            layer: with constant weights; a part of it where it has several.
            quant: of its weight, with parameters.
        """
        if quant.codes is not None or quant.spec.format.bits > BYTE or not self._seen(layer):
            return quant, None
        key = (layer.name, quant)
        if key not in self._found:
            moments = self._moments(layer)
            curvature = self._curvature(layer, moments)
            task = RoundingTask(layer, quant, np.zeros(1), moments, curvature=curvature)
            self._found[key] = round_layer(task, OPTIONS)
        return self._found[key]

    def plan(self, plan: QuantPlan, setup: QuantizerSetup) -> QuantPlan:
        """Return a plan with codes for all weights, and the biases that go with them.

        Args:
            plan: with scales.
            setup: the quantizable part of the graph under this plan.
        """
        tensors, biases = dict(plan.tensors), dict(plan.biases)
        for part in (part for layer in setup.stored for part in layer.parts):
            quant = tensors.get(part.weight_name)
            if quant is not None:
                tensors[part.weight_name], bias = self.rounded(part, quant)
                biases |= {} if bias is None else {part.name: tuple(bias.tolist())}
        return replace(plan, tensors=tensors, biases=biases)

    def mean_error(self, layer: Layer, values: NDArray[np.float32]) -> NDArray[np.float32] | None:
        """Return the mean of what other weights add to a layer's result, (channels,), for a bias to take up.

        Args:
            layer: with constant weights.
            values: for its weight.

        Returns:
            ``None`` for a layer that has no bias, or whose inputs were not seen.
        """
        if not layer.takes_bias or not self._seen(layer):
            return None
        mean = self.patches[layer.name].mean(axis=(0, 1), dtype=np.float64)
        error = weight_matrix(layer, values - layer.weight_values())
        return np.asarray(np.einsum("gnd,gd->gn", error, mean), dtype=np.float32).reshape(-1)

    def _seen(self, layer: Layer) -> bool:
        """Return whether patches of a layer hold what its weight multiplies, element by element."""
        found = self.patches.get(layer.name)
        if found is None or layer.op == "ConvTranspose":
            return False
        matrix = weight_matrix(layer, layer.weight_values())
        return found.shape[2:] == (matrix.shape[0], matrix.shape[2])

    def _curvature(self, layer: Layer, moments: Moments) -> Curvature:
        """Return the factored moments of a layer, kept for its other widths while there is room."""
        known = self._curvatures.get(layer.name)
        if known is None:
            known = Curvature.of(layer, moments, OPTIONS)
            if known.nbytes + sum(other.nbytes for other in self._curvatures.values()) <= CURVATURES:
                self._curvatures[layer.name] = known
        return known

    def _moments(self, layer: Layer) -> Moments:
        patches, moments = self.patches[layer.name], Moments()
        vectors = np.ascontiguousarray(patches.reshape(-1, *patches.shape[2:]).transpose(1, 0, 2))
        moments.update(vectors, vectors)
        return moments


@dataclass(frozen=True)
class LocalRoundings(Analysis[LocalRounding]):
    """Hold the rounded weights for as long as graph and weights stay as they are."""

    name: ClassVar[str] = "local-rounding"
    reads: ClassVar[Aspect] = Aspect.GRAPH | Aspect.WEIGHTS

    def run(self, model: Model, ctx: PassContext) -> LocalRounding:
        """Take the patches of the calibration sweep; without those, weights have the nearest integers."""
        return LocalRounding(ctx.get(CollectActivations(), model).patches)
