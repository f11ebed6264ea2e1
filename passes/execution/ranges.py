"""From what was observed to scales and zero points, one tensor at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from passes.numerics import (
    Histogram,
    QuantParams,
    QuantSpec,
    RangeMethod,
    activation_range,
    params_from_range,
    short_scale,
    weight_range,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from passes.execution.collect import ActivationStats
    from passes.ir.setup import TensorGroup


def act_params(
    group: TensorGroup, spec: QuantSpec, stats: ActivationStats, method: RangeMethod, percentile: float = 99.99
) -> QuantParams:
    """Return the parameters that the tensors of a group share.

    Results of the model keep their full range: clipping the largest logit would cost accuracy.

    Args:
        group: tensors that share parameters.
        spec: per tensor.
        stats: what calibration saw; histograms unless the method is MINMAX.
        method: range estimator.
        percentile: share of values inside the range, for PERCENTILE, in percent.
    """
    low = min(stats.ranges[name][0] for name in group.sources)
    high = max(stats.ranges[name][1] for name in group.sources)
    if method is not RangeMethod.MINMAX and not group.is_output:
        merged = merged_histogram([stats.histograms[name] for name in group.sources])
        clipped = activation_range(merged, spec, method, percentile)
        low, high = max(low, clipped[0]), min(high, clipped[1])
    params = params_from_range(low, high, spec)
    return shortened(params, min(low, 0.0), spec, up=method is RangeMethod.MINMAX)


def weight_params(
    values: NDArray[np.float32],
    spec: QuantSpec,
    method: RangeMethod = RangeMethod.MSE,
    least: NDArray[np.float64] | float = 0.0,
) -> QuantParams:
    """Return the parameters of a weight.

    A channel of zeros takes the finest scale of its neighbours, so that its bias keeps its precision.

    Args:
        values: the weight.
        spec: symmetric.
        method: MINMAX or MSE.
        least: scales are not chosen below this; per channel or for all.
    """
    low, high = weight_range(values, spec, method)
    params = params_from_range(low, high, spec)
    used = np.maximum(np.abs(low), np.abs(high)) > 0
    finest = params.scale[used].min() if used.any() else np.float32(1.0)
    scale = np.maximum(np.where(used, params.scale, finest), least)
    return QuantParams(short_scale(scale, up=method is RangeMethod.MINMAX), params.zero_point)


def shortened(params: QuantParams, low: float, spec: QuantSpec, *, up: bool) -> QuantParams:
    """Return per-tensor parameters with a short scale, and the zero point that still places the lower end."""
    scale = short_scale(params.scale, up=up)
    zero = np.rint(spec.format.qmin - low / float(scale))
    zero = params.zero_point if spec.symmetric else np.clip(zero, spec.format.qmin, spec.format.qmax)
    return QuantParams(scale, np.asarray(zero, dtype=np.int32))


def merged_histogram(histograms: Sequence[Histogram]) -> Histogram:
    """Return the distribution of several tensors together."""
    if len(histograms) == 1:
        return histograms[0]
    merged = Histogram()
    for histogram in histograms:
        merged.merge(histogram)
    return merged
