"""One-pass error attribution: the error each precision makes in the output of its own layer.

The score of weights at b bits is ``mean + std / sqrt(delta)`` over samples of ``||(W - Q_b(W)) x||``,
delta = 0.05 [Houache et al. 2026, layer-wise error attribution]; here it is taken relative to the spread of
the layer's output and squared, so that scores are ratios of noise to signal, which add up. Activations are
scored by the same ratio with ``W (x - Q_b(x))``. Nothing but the one calibration sweep touches the data.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from passes.analysis.sensitivity import SensitivityTable
from passes.api import Analysis, Aspect, PassContext
from passes.execution.collect import CollectActivations
from passes.execution.ranges import act_params, weight_params
from passes.ir.layers import Layer, weight_matrix
from passes.ir.setup import quantizer_setup
from passes.ir.specs import act_spec, weight_spec
from passes.numerics import RangeMethod, fake_quantize

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from passes.execution.collect import ActivationStats
    from passes.ir.model import Model
    from passes.ir.setup import TensorGroup

DELTA = 0.05


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
        setup = quantizer_setup(model.graph, ctx.target.shared_parameter_ops)
        stats = ctx.get(CollectActivations(), model)
        groups = setup.group_of()
        weights: dict[str, dict[int, float]] = {}
        acts: dict[str, dict[int, float]] = {}
        for done, layer in enumerate(setup.layers):
            patches = stats.patches.get(layer.name)
            group = groups[layer.act.name]
            if patches is None or layer.op == "ConvTranspose":
                acts[layer.name] = _histogram_losses(group, stats, self.bits, self.method)
                weights[layer.name] = _weight_losses(layer, self.bits)
                continue
            weights[layer.name] = self._weights(layer, patches)
            acts[layer.name] = self._acts(layer, patches, group, stats)
            ctx.progress("analyze", done + 1, len(setup.layers))
        return SensitivityTable(self.name, weights, acts)

    def _weights(self, layer: Layer, patches: NDArray[np.float32]) -> dict[int, float]:
        values = layer.weight_values()
        power = _spread(_outputs(patches, weight_matrix(layer, values)))
        losses = {}
        for bits in self.bits:
            spec = weight_spec(layer, bits)
            error = fake_quantize(values, spec, weight_params(values, spec)) - values
            noise = _outputs(patches, weight_matrix(layer, error))
            losses[bits] = _score(noise - noise.mean(axis=(0, 1)), power)
        return losses

    def _acts(
        self, layer: Layer, patches: NDArray[np.float32], group: TensorGroup, stats: ActivationStats
    ) -> dict[int, float]:
        matrix = weight_matrix(layer, layer.weight_values())
        power = _spread(_outputs(patches, matrix))
        losses = {}
        for bits in self.bits:
            spec = act_spec(bits)
            error = fake_quantize(patches, spec, act_params(group, spec, stats, self.method)) - patches
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


def _weight_losses(layer: Layer, bits: tuple[int, ...]) -> dict[int, float]:
    """Score weights by themselves where no patches can be had."""
    if layer.weight is None:
        return {}
    values = layer.weight_values()
    power = float(np.square(values, dtype=np.float64).mean())
    losses = {}
    for width in bits:
        spec = weight_spec(layer, width)
        error = fake_quantize(values, spec, weight_params(values, spec)) - values
        losses[width] = float(np.square(error, dtype=np.float64).mean() / max(power, 1e-30))
    return losses


def _histogram_losses(
    group: TensorGroup, stats: ActivationStats, bits: tuple[int, ...], method: RangeMethod
) -> dict[int, float]:
    """Score an activation by the rounding error of its range, relative to the width of the range."""
    losses = {}
    for width in bits:
        spec = act_spec(width)
        step = float(act_params(group, spec, stats, method).scale)
        losses[width] = (step**2 / 12) / max((step * (spec.format.levels - 1)) ** 2 / 12, 1e-30)
    return losses
