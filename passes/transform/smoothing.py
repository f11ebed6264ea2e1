"""Factors that even out channels, and how well they serve one site."""

from __future__ import annotations

from math import fsum
from typing import TYPE_CHECKING

import numpy as np

from passes.execution.ranges import weight_params
from passes.numerics import Histogram, best_short_params, fake_quantize

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from passes.execution.channels import ChannelRows
    from passes.numerics import QuantSpec
    from passes.transform.smooth_site import Reader, Site

    Seen = Mapping[str, ChannelRows]
    """Of the activations that the readers of a site multiply, by name."""
    Factors = NDArray[np.float64]
    Specs = tuple[QuantSpec, QuantSpec]
    """Of the weight of a layer and of the activation it reads."""

ALPHAS = tuple(step / 10 for step in range(11))
LIMIT = 1e4


def smoothing_factors(site: Site, seen: Seen, alpha: float) -> Factors:
    """Return factors per channel: ``max|x|**alpha / max|w|**(1 - alpha)``.

    [Xiao et al. 2022, SmoothQuant, arXiv 2211.10438, eq. 4.]
    They are brought to a geometric mean of one, which leaves the size of numbers alone and changes nothing
    else. A channel without values or without weights keeps its scale.

    Args:
        site: with the weights as they are now.
        seen: of the activations that its readers multiply, by name.
        alpha: how much of the differences weights take over, from 0 to 1.

    Returns:
        Shape (channels,), from 1 / `LIMIT` to `LIMIT`.
    """
    acts, weights = np.zeros((2, site.channels))
    for reader in site.readers:
        largest = np.abs(reader.per_channel(reader.layer.weight_values())).max(axis=1)
        np.maximum.at(acts, reader.channels, seen[reader.layer.act.name].largest)
        np.maximum.at(weights, reader.channels, largest)
    alive = (acts > 0) & (weights > 0)
    if not alive.any():
        return np.ones(site.channels)
    logs = alpha * np.log(acts[alive]) - (1 - alpha) * np.log(weights[alive])
    factors = np.ones(site.channels)
    factors[alive] = np.exp(np.clip(logs - logs.mean(), -np.log(LIMIT), np.log(LIMIT)))
    return factors


def best_factors(site: Site, seen: Seen, specs: Mapping[str, Specs], gain: float) -> Factors | None:
    """Return the factors of the alpha that harms the results of a site's readers least.

    Args:
        site: with the weights as they are now.
        seen: of the activations that its readers multiply, by name.
        specs: of each reader, by layer name.
        gain: least share of the error that must be won.

    Returns:
        Shape (channels,), or ``None`` when the channels are best left as they are.
    """
    tried = [np.ones(site.channels)]
    tried += [smoothing_factors(site, seen, alpha) for alpha in ALPHAS]
    rows = [seen[reader.layer.act.name].rows for reader in site.readers]
    sizes = [_size(reader, each) for reader, each in zip(site.readers, rows, strict=True)]
    errors = [
        fsum(
            expected_error(reader, each, specs[reader.layer.name], factors[reader.channels]) / size
            for reader, each, size in zip(site.readers, rows, sizes, strict=True)
        )
        for factors in tried
    ]
    best = int(np.argmin(errors))
    return tried[best] if errors[best] < (1 - gain) * errors[0] else None


def _size(reader: Reader, rows: NDArray[np.float32]) -> float:
    """Return the mean square of a layer's results, summed over channels, or 1 where they are all zero.

    Of a convolution it is what it would be if all that it sums were independent.
    """
    matrix = reader.per_channel(reader.layer.weight_values())
    if reader.layer.op in ("Gemm", "MatMul"):
        return float(np.square(rows @ matrix, dtype=np.float64).sum() / len(rows)) or 1.0
    return float(_spread(reader, rows) @ np.square(matrix).sum(axis=1)) or 1.0


def _spread(reader: Reader, rows: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return what errors of the weights of each input channel are multiplied by, squared and averaged.

    The mean of an activation does not count where the layer has a place for a bias, which takes back what
    it does.
    """
    if reader.layer.takes_bias:
        return np.asarray(rows.var(axis=0), dtype=np.float64)
    return np.asarray(np.square(rows).mean(axis=0), dtype=np.float64)


def expected_error(reader: Reader, rows: NDArray[np.float32], specs: Specs, factors: Factors) -> float:
    """Return the mean square that rounding adds to a layer's results, summed over output channels.

    Errors of weights and of activations count by the mean squares of what they are multiplied by, as if each
    were independent of all others: sums of the errors at hand are too much a matter of luck.

    Args:
        reader: layer with a constant weight.
        rows: of the activation it reads, shape (rows, channels).
        specs: how weight and activation are rounded.
        factors: that channels of the activation are divided by, and those of the weight multiplied.
    """
    weight = reader.layer.weight_values()
    shape = tuple(-1 if axis == reader.layer.input_axis else 1 for axis in range(weight.ndim))
    scaled = (weight * factors.reshape(shape)).astype(np.float32)
    weight_spec, act_spec = specs
    wrong = fake_quantize(scaled, weight_spec, weight_params(scaled, weight_spec)) - scaled
    inputs = (rows / factors).astype(np.float32)
    histogram = Histogram()
    histogram.update(inputs)
    missed = fake_quantize(inputs, act_spec, best_short_params(histogram, act_spec)) - inputs
    by_weights = np.square(reader.per_channel(wrong)).sum(axis=1) @ _spread(reader, inputs)
    by_activations = np.square(reader.per_channel(scaled)).sum(axis=1) @ np.square(missed).mean(axis=0)
    return float(by_weights + by_activations)
