"""Sensitivity from orthogonality: layers whose features are unlike all others' deserve more bits.

[Ma et al. 2023, OMPQ, equations 2 to 6]: with K the Gram matrix of a layer's features over samples, centred,
``ORM_ij = <K_i, K_j> / (|K_i| |K_j|)``, ``gamma_i = sum of ORM_ij over j != i``, ``theta_i =
exp(-beta gamma_i)``; the importance of a layer is the mean of theta from it to the last layer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from passes.analysis.sensitivity import SensitivityTable
from passes.api import Analysis, Aspect, PassContext
from passes.errors import UsageError
from passes.execution.feed_source import samples_in
from passes.execution.stages import StagedModel
from passes.ir.onnx_io import to_proto
from passes.ir.setup import quantizer_setup

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from numpy.typing import NDArray

    from passes.ir.layers import Layer
    from passes.ir.model import Model

BATCH, SAMPLES = 8, 32
SPREAD = 3.0
"""Exponent between the most and the least orthogonal layer when beta is chosen for a network."""


@dataclass(frozen=True)
class Orthogonality(Analysis[SensitivityTable]):
    """Score layers by one run of the float model.

    The paper maximises the sum of bits times importance; so a bit less costs the importance of the layer. It
    keeps activations at one width; here a bit of an activation costs as much as one of its layer's weights.

    Attributes:
        bits: widths to score; the widest loses nothing.
        beta: 0 chooses it such that the largest theta is ``exp(SPREAD)`` times the smallest. The authors'
            script for MobileNetV2 has 1e-9, at which all thetas are one: `SizeOnly`.
        samples: calibration samples.
    """

    name: ClassVar[str] = "ompq"
    reads: ClassVar[Aspect] = Aspect.GRAPH | Aspect.WEIGHTS
    bits: tuple[int, ...] = (2, 3, 4, 5, 6, 7, 8)
    beta: float = 0.0
    samples: int = SAMPLES

    def run(self, model: Model, ctx: PassContext) -> SensitivityTable:
        """Score all layers.

        Raises:
            UsageError: there are no calibration data.
        """
        if ctx.calibration is None:
            raise UsageError("this needs calibration data; give --calib")
        layers = quantizer_setup(model.graph, ctx.target).layers
        batches = list(ctx.calibration.spread(BATCH, self.samples))
        grams = _grams(StagedModel(to_proto(model), ctx.workers), layers, batches)
        return linear_table(self.name, layers, importance(similarity(grams), self.beta), self.bits)


@dataclass(frozen=True)
class SizeOnly(Analysis[SensitivityTable]):
    """The control: every layer is as important as any other, so that only size decides.

    Attributes:
        bits: widths to score; the widest loses nothing.
    """

    name: ClassVar[str] = "size-only"
    reads: ClassVar[Aspect] = Aspect.GRAPH
    bits: tuple[int, ...] = (2, 3, 4, 5, 6, 7, 8)

    def run(self, model: Model, ctx: PassContext) -> SensitivityTable:
        """Score all layers alike."""
        layers = quantizer_setup(model.graph, ctx.target).layers
        return linear_table(self.name, layers, np.ones(len(layers)), self.bits)


def linear_table(
    name: str, layers: Sequence[Layer], weights: NDArray[np.float64], bits: Sequence[int]
) -> SensitivityTable:
    """Return losses that grow by the importance of the layer with each bit below the widest."""
    widest = max(bits)
    losses = {
        layer.name: {width: float(weight) * (widest - width) for width in bits}
        for layer, weight in zip(layers, weights, strict=True)
    }
    constant = {layer.name: losses[layer.name] if layer.weight is not None else {} for layer in layers}
    return SensitivityTable(name, constant, losses)


def similarity(grams: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Return ORM, shape (layers, layers), from centred Gram matrices; a constant layer is like no other."""
    flat = np.stack([gram.reshape(-1) for gram in grams])
    norms = np.linalg.norm(flat, axis=1, keepdims=True)
    flat /= np.where(norms > 0, norms, 1.0)
    return np.asarray(flat @ flat.T)


def importance(orm: NDArray[np.float64], beta: float) -> NDArray[np.float64]:
    """Return the importance of each layer, shape (layers,); see the module for `beta` of 0."""
    gamma = orm.sum(axis=1) - np.diag(orm)
    spread = float(np.ptp(gamma))
    chosen = beta or (SPREAD / spread if spread > 0 else 0.0)
    theta = np.exp(-chosen * (gamma - (0.0 if beta else gamma.min())))
    tail = np.cumsum(theta[::-1])[::-1]
    return np.asarray(tail / np.arange(len(theta), 0, -1))


def _grams(
    staged: StagedModel, layers: Sequence[Layer], batches: list[dict[str, NDArray[Any]]]
) -> list[NDArray[np.float64]]:
    """Run all batches from layer to layer, together, and keep one small matrix of each."""
    points = {layer.name: staged.after(layer.output.name) for layer in layers}
    grams, states, at = {}, batches, 0
    for layer in sorted(layers, key=lambda layer: points[layer.name]):
        point = points[layer.name]
        states = [staged.advance(values, at, point) for values in states]
        at = point
        counts = [samples_in(feeds) or 1 for feeds in batches]
        outputs = [values[layer.output.name] for values in states]
        grams[layer.name] = _gram([by_sample(*pair) for pair in zip(outputs, counts, strict=True)])
    return [grams[layer.name] for layer in layers]


def by_sample(output: NDArray[Any], samples: int) -> NDArray[Any]:
    """Return the features of a layer, shape (samples, features).

    Transformers move the samples behind their tokens, or fold heads into them. What has no axis of samples is
    constant, and like no other layer: a column of zeros.
    """
    at = output.shape.index(samples) if samples in output.shape else 0
    rows = np.moveaxis(output, at, 0) if output.ndim else output[None]
    if len(rows) % samples:
        return np.zeros((samples, 1), output.dtype)
    return rows.reshape(samples, -1)


def _gram(outputs: Sequence[NDArray[Any]]) -> NDArray[np.float64]:
    features = np.concatenate(outputs)
    gram = (features @ features.T).astype(np.float64)
    means = gram.mean(axis=0)
    return np.asarray(gram - means - means[:, None] + means.mean())
