"""One-pass error attribution: the error each precision makes in the output of its own layer.

The score of weights at b bits is ``mean + std / sqrt(delta)`` over samples of ``||(W - Q_b(W)) x||``,
delta = 0.05 [Houache et al. 2026, layer-wise error attribution]; here it is taken relative to the spread of
the layer's output and squared, so that scores are ratios of noise to signal, which add up. Activations are
scored by the same ratio with ``W (x - Q_b(x))``. Nothing but the one calibration sweep touches the data.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import fsum
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from passes.analysis.sensitivity import SensitivityTable
from passes.api import Analysis, Aspect, PassContext
from passes.execution.collect import CollectActivations
from passes.execution.ranges import act_params, weight_params
from passes.ir.layers import Layer, weight_matrix
from passes.ir.setup import quantizer_setup
from passes.ir.specs import act_spec, weight_spec
from passes.numerics import QuantParams, QuantSpec, RangeMethod, fake_quantize

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from passes.execution.collect import ActivationStats
    from passes.ir.model import Model
    from passes.ir.setup import QuantizerSetup
    from passes.ir.tensor_groups import TensorGroup

DELTA = 0.05
Quantizer = tuple[QuantSpec, QuantParams]


@dataclass(frozen=True)
class Attribution(Analysis[SensitivityTable]):
    """Score every layer at every width without running the network again.

    Attributes:
        bits: widths to score.
        method: range estimator of activations.
    """

    name: ClassVar[str] = "attribution"
    reads: ClassVar[Aspect] = Aspect.GRAPH | Aspect.WEIGHTS
    bits: tuple[int, ...] = (2, 3, 4, 5, 6, 7, 8)
    method: RangeMethod = RangeMethod.MSE

    def run(self, model: Model, ctx: PassContext) -> SensitivityTable:
        """Score the layers one after another."""
        setup = quantizer_setup(model.graph, ctx.target)
        stats = ctx.get(CollectActivations(), model)
        groups = setup.group_of()
        weights: dict[str, dict[int, float]] = {}
        acts: dict[str, dict[int, float]] = {}
        for done, layer in enumerate(setup.layers):
            patches = stats.patches.get(layer.name)
            group = groups[layer.act.name]
            if patches is None or layer.op == "ConvTranspose":
                acts[layer.name] = self._histogram_losses(group, stats, setup)
                weights[layer.name] = _weight_losses(layer, self.bits, setup)
                continue
            weights[layer.name] = self._weights(layer, patches, setup)
            quantizers = self._quantizers(group, stats, setup)
            acts[layer.name] = _act_losses(layer, patches, quantizers)
            ctx.progress("analyze", done + 1, len(setup.layers))
        return SensitivityTable(self.name, weights, acts)

    def _weights(self, layer: Layer, patches: NDArray[np.float32], setup: QuantizerSetup) -> dict[int, float]:
        values = layer.weight_values()
        power = _spread(_outputs(patches, weight_matrix(layer, values)))
        losses = {}
        for bits in self.bits:
            spec = weight_spec(layer, bits, setup)
            error = fake_quantize(values, spec, weight_params(values, spec)) - values
            noise = _outputs(patches, weight_matrix(layer, error))
            losses[bits] = _score(noise - noise.mean(axis=(0, 1)), power)
        return losses

    def _quantizers(
        self, group: TensorGroup, stats: ActivationStats, setup: QuantizerSetup
    ) -> dict[int, Quantizer]:
        specs = {bits: act_spec(bits, setup) for bits in self.bits}
        return {bits: (spec, act_params(group, spec, stats, self.method)) for bits, spec in specs.items()}

    def _histogram_losses(
        self, group: TensorGroup, stats: ActivationStats, setup: QuantizerSetup
    ) -> dict[int, float]:
        """Score an activation by the rounding error of its range, relative to the width of the range."""
        losses = {}
        for bits, (spec, params) in self._quantizers(group, stats, setup).items():
            step = float(params.scale)
            losses[bits] = (step**2 / 12) / max((step * (spec.format.levels - 1)) ** 2 / 12, 1e-30)
        return losses


def _act_losses(
    layer: Layer, patches: NDArray[np.float32], quantizers: Mapping[int, Quantizer]
) -> dict[int, float]:
    matrix = weight_matrix(layer, layer.weight_values())
    power = _spread(_outputs(patches, matrix))
    losses = {}
    for bits, (spec, params) in quantizers.items():
        error = fake_quantize(patches, spec, params) - patches
        losses[bits] = _score(_outputs(error, matrix), power)
    return losses


def _outputs(patches: NDArray[np.float32], matrix: NDArray[np.float32]) -> NDArray[np.float32]:
    """Multiply patches (samples, positions, groups, depth) by (groups, channels, depth)."""
    samples, positions, groups, depth = patches.shape
    rows = patches.reshape(-1, groups, depth).transpose(1, 0, 2)
    product = rows @ matrix.transpose(0, 2, 1)
    return np.ascontiguousarray(product.transpose(1, 0, 2)).reshape(samples, positions, -1)


def _spread(outputs: NDArray[np.float32]) -> float:
    """Return the power of a layer's output around the mean of each channel, per position."""
    centred = outputs - outputs.mean(axis=(0, 1))
    return float(np.square(centred, dtype=np.float64).sum(axis=2).mean())


def _score(noise: NDArray[np.float32], power: float) -> float:
    """Return the squared score of the error of each sample, relative to the power of the output."""
    norms = np.sqrt(np.square(noise, dtype=np.float64).sum(axis=2).mean(axis=1))
    score = norms.mean() + norms.std() / np.sqrt(DELTA * max(len(norms), 1))
    return float(score**2 / max(power, 1e-30))


def _weight_losses(layer: Layer, bits: tuple[int, ...], setup: QuantizerSetup) -> dict[int, float]:
    """Score weights by themselves where no patches can be had."""
    values = [part.weight_values() for part in layer.parts]
    power = fsum(_total(value) for value in values)
    losses = {}
    for width in bits if values else ():
        spec = weight_spec(layer, width, setup)
        noise = fsum(_total(fake_quantize(it, spec, weight_params(it, spec)) - it) for it in values)
        losses[width] = noise / max(power, 1e-30)
    return losses


def _total(values: NDArray[np.float32]) -> float:
    return float(np.square(values, dtype=np.float64).sum())
