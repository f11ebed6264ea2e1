"""Factors that even out channels, and how well they serve one site."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from passes.execution.ranges import weight_params
from passes.numerics import Histogram, best_short_params, fake_quantize

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from passes.execution.channels import ChannelRows
    from passes.ir.layers import Layer
    from passes.numerics import QuantSpec
    from passes.transform.smooth_sites import Site

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
    acts = np.max([seen[layer.act.name].largest for layer in site.readers], axis=0)
    weights = np.max([_input_range(layer) for layer in site.readers], axis=0)
    alive = (acts > 0) & (weights > 0)
    if not alive.any():
        return np.ones(len(acts))
    logs = alpha * np.log(acts[alive]) - (1 - alpha) * np.log(weights[alive])
    factors = np.ones(len(acts))
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
    tried = [np.ones(len(seen[site.readers[0].act.name].largest))]
    tried += [smoothing_factors(site, seen, alpha) for alpha in ALPHAS]
    sizes = [_size(layer, seen[layer.act.name].rows) for layer in site.readers]
    errors = [
        sum(
            expected_error(layer, seen[layer.act.name].rows, specs[layer.name], each) / size
            for layer, size in zip(site.readers, sizes, strict=True)
        )
        for each in tried
    ]
    best = int(np.argmin(errors))
    return tried[best] if errors[best] < (1 - gain) * errors[0] else None


def _size(layer: Layer, rows: NDArray[np.float32]) -> float:
    """Return the mean square of a layer's results, summed over channels, or 1 where they are all zero."""
    matrix = layer.weight_values() if layer.channel_axis == 1 else layer.weight_values().T
    return float(np.square(rows @ matrix, dtype=np.float64).sum() / len(rows)) or 1.0


def expected_error(layer: Layer, rows: NDArray[np.float32], specs: Specs, factors: Factors) -> float:
    """Return the mean square that rounding adds to a layer's results, summed over output channels.

    Errors of weights and of activations count by the mean squares of what they are multiplied by, as if each
    were independent of all others: sums of the errors at hand are too much a matter of luck. The mean of an
    activation does not count where the layer has a place for a bias, which takes back what it does.

    Args:
        layer: Gemm or MatMul with constant weights.
        rows: of the activation it reads, shape (rows, channels).
        specs: how weight and activation are rounded.
        factors: that channels of the activation are divided by, and rows of the weight multiplied.
    """
    axis = layer.channel_axis
    scaled = (layer.weight_values() * np.expand_dims(factors, axis)).astype(np.float32)
    weight_spec, act_spec = specs
    wrong = fake_quantize(scaled, weight_spec, weight_params(scaled, weight_spec)) - scaled
    inputs = (rows / factors).astype(np.float32)
    histogram = Histogram()
    histogram.update(inputs)
    missed = fake_quantize(inputs, act_spec, best_short_params(histogram, act_spec)) - inputs
    spread = inputs.var(axis=0) if layer.op == "Gemm" else np.square(inputs).mean(axis=0)
    by_weights = np.square(wrong).sum(axis=axis) @ spread
    by_activations = np.square(scaled).sum(axis=axis) @ np.square(missed).mean(axis=0)
    return float(by_weights + by_activations)


def _input_range(layer: Layer) -> NDArray[np.float64]:
    """Return the largest weight of each input channel, shape (channels,)."""
    return np.asarray(np.abs(layer.weight_values()).max(axis=layer.channel_axis), dtype=np.float64)
