"""Tensors whose range a few values dominate: the others share what few codes are left for them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from passes.execution.ranges import merged_histogram
from passes.ir.layers import weight_matrix

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from passes.execution.collect import ActivationStats
    from passes.ir.layers import Layer
    from passes.ir.setup import QuantizerSetup
    from passes.numerics import Histogram

RATIO = 3.0
"""How far the largest value must exceed what nearly all stay below."""
ACT_SHARE, WEIGHT_SHARE = 0.9999, 0.99
LEAST_VALUES = 10_000
LEAST_DEPTH = 100


@dataclass(frozen=True, slots=True)
class Outlier:
    """One such tensor.

    Attributes:
        tensor: its name.
        role: ``act`` or ``weight``.
        readers: layers that multiply it.
        channel: output channel of a weight where it is worst; ``None`` for an activation.
        channels: number of output channels of the weight of which this holds; ``None`` for an activation.
        largest: largest magnitude.
        usual: magnitude that 99.99 % of the values of an activation (of a channel of a weight: 99 %)
            do not exceed.
    """

    tensor: str
    role: str
    readers: tuple[str, ...]
    channel: int | None
    channels: int | None
    largest: float
    usual: float

    @property
    def ratio(self) -> float:
        """How many times as large as usual the largest value is."""
        return self.largest / self.usual

    @property
    def advice(self) -> str:
        """What can be done about it."""
        if self.role == "weight":
            return "give its inputs scales in groups (--group-size), or its layer more bits (--pin)"
        if not self.readers:
            return "choose its range by clipping (--ranges mse or percentile)"
        return "move it into the weights (pass smooth), clip it (--ranges mse), or give its readers more bits"


def find_outliers(setup: QuantizerSetup, stats: ActivationStats | None) -> tuple[Outlier, ...]:
    """Return the tensors whose largest value is `RATIO` times what nearly all values stay below, worst first.

    Args:
        setup: the quantizable part of the graph.
        stats: what calibration saw; without histograms, activations are not judged.
    """
    acts = _acts(setup, stats) if stats is not None else ()
    weights = (found for layer in setup.layers for part in layer.parts if (found := _weight(part)))
    return tuple(sorted((*acts, *weights), key=lambda outlier: (-outlier.ratio, outlier.tensor)))


def usual_magnitude(histogram: Histogram, share: float) -> float:
    """Return the magnitude below which a share of the values lies, to the width of a bin."""
    first, counts = histogram.occupied()
    edges = (first + np.arange(len(counts) + 1)) * histogram.width
    reach = np.maximum(np.abs(edges[:-1]), np.abs(edges[1:]))
    order = np.argsort(reach, kind="stable")
    below = np.cumsum(counts[order]) / counts.sum()
    return float(reach[order][np.searchsorted(below, share)])


def _acts(setup: QuantizerSetup, stats: ActivationStats) -> Iterator[Outlier]:
    for group in setup.groups:
        if not all(name in stats.histograms for name in group.sources):
            continue
        histogram = merged_histogram([stats.histograms[name] for name in group.sources])
        if histogram.total < LEAST_VALUES:
            continue
        largest = max(abs(end) for name in group.sources for end in stats.ranges[name])
        usual = usual_magnitude(histogram, ACT_SHARE)
        if usual > 0 and largest > RATIO * usual:
            yield Outlier(group.name, "act", group.readers, None, None, largest, usual)


def _weight(layer: Layer) -> Outlier | None:
    if layer.op == "ConvTranspose":
        return None
    rows = np.abs(weight_matrix(layer, layer.weight_values()))
    rows = rows.reshape(-1, rows.shape[-1])
    if rows.shape[1] < LEAST_DEPTH:
        return None
    largest, usual = rows.max(axis=1), _quantile(rows, WEIGHT_SHARE)
    ratios = np.divide(largest, usual, out=np.zeros_like(largest), where=usual > 0)
    worst, count = int(ratios.argmax()), int((ratios > RATIO).sum())
    if count == 0:
        return None
    name = layer.weight.name  # type: ignore[union-attr]
    return Outlier(name, "weight", (layer.name,), worst, count, float(largest[worst]), float(usual[worst]))


def _quantile(rows: NDArray[np.float32], share: float) -> NDArray[np.float32]:
    """Return the value that a share of each row does not exceed, shape (rows,)."""
    at = int(np.ceil(share * rows.shape[1])) - 1
    return np.asarray(np.partition(rows, at, axis=1)[:, at])
