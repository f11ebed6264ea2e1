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
    best_short_params,
    best_short_scale,
    params_from_range,
    short_scale,
    weight_range,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from passes.execution.collect import ActivationStats
    from passes.ir.tensor_groups import TensorGroup


def act_params(
    group: TensorGroup,
    spec: QuantSpec,
    stats: ActivationStats,
    method: RangeMethod,
    percentile: float = 99.99,
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
        if method is RangeMethod.MSE:
            return best_short_params(merged, spec)
        clipped = activation_range(merged, spec, method, percentile)
        low, high = max(low, clipped[0]), min(high, clipped[1])
    params = params_from_range(low, high, spec)
    return shortened(params, min(low, 0.0), spec)


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
    return covering_params(weight_scale(values, spec, method), values, spec, least)


def weight_scale(values: NDArray[np.float32], spec: QuantSpec, method: RangeMethod) -> NDArray[np.float32]:
    """Return the scales that suit a weight by itself, of the shape that the granularity gives."""
    if method is RangeMethod.MSE:
        return best_short_scale(values, spec)
    low, high = weight_range(values, spec, method)
    return short_scale(params_from_range(low, high, spec).scale, up=True, places=spec.scale_places)


def covering_params(
    scale: NDArray[np.float32],
    values: NDArray[np.float32],
    spec: QuantSpec,
    least: NDArray[np.float64] | float,
) -> QuantParams:
    """Return the parameters of a weight with scales raised where they are too small; see `weight_params`."""
    used = np.abs(spec.granularity.blocks(values)).max(axis=1).reshape(scale.shape) > 0
    finest = scale[used].min() if used.any() else np.float32(1.0)
    scale = np.where(used, scale, finest)
    covering = short_scale(np.maximum(scale, least), up=True, places=spec.scale_places)
    return QuantParams(covering, np.zeros(scale.shape, dtype=np.int32))


def shortened(params: QuantParams, low: float, spec: QuantSpec) -> QuantParams:
    """Return per-tensor parameters with the next larger short scale, and the zero point that still fits."""
    scale = short_scale(params.scale, up=True, places=spec.scale_places)
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
