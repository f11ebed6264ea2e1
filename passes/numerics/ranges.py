"""Ranges of activations: where to clip a tensor of which a histogram is known.

Every function takes the values as evenly spread within a bin, and returns ``(lo, hi)`` within the observed
minimum and maximum (MSE and KL: within these widened to hold 0). `params_from_range` takes it from there.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

import numpy as np

from passes.errors import UsageError
from passes.numerics.kl_clip import kl_range
from passes.numerics.mse_clip import mse_range

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from passes.numerics.histogram import Histogram
    from passes.numerics.qparams import QuantSpec


class RangeMethod(StrEnum):
    """How a range is chosen."""

    MINMAX = "minmax"
    PERCENTILE = "percentile"
    MSE = "mse"
    KL = "kl"


def activation_range(
    histogram: Histogram, spec: QuantSpec, method: RangeMethod, percentile: float = 99.99
) -> tuple[float, float]:
    """Choose a range by any method.

    Args:
        histogram: the values seen.
        spec: the quantizer, which MSE and KL take into account.
        method: how to choose.
        percentile: for PERCENTILE only, see `percentile_range`.

    Raises:
        DataError: the histogram is empty.
        UsageError: the percentile is out of range.
    """
    if method is RangeMethod.MSE:
        return mse_range(histogram, spec)
    if method is RangeMethod.KL:
        return kl_range(histogram, spec)
    if method is RangeMethod.PERCENTILE:
        return percentile_range(histogram, percentile)
    return minmax_range(histogram)


def minmax_range(histogram: Histogram) -> tuple[float, float]:
    """Return the exact minimum and maximum.

    Raises:
        DataError: the histogram is empty.
    """
    histogram.occupied()
    return histogram.low, histogram.high


def percentile_range(histogram: Histogram, percentile: float = 99.99) -> tuple[float, float]:
    """Return the range of the central ``percentile`` % of the values, leaving out as many at either end.

    Raises:
        DataError: the histogram is empty.
        UsageError: the percentile is not in (0, 100].
    """
    if not 0.0 < percentile <= 100.0:
        raise UsageError(f"percentile must lie in (0, 100], found {percentile}")
    first, counts = histogram.occupied()
    tail = histogram.total * (1.0 - percentile / 100.0) / 2.0
    lo = (first + _quantile(counts, tail)) * histogram.width
    hi = (first + len(counts) - _quantile(counts[::-1], tail)) * histogram.width
    # The values of a bin may all lie at one end of it.
    lo = min(max(lo, histogram.low), histogram.high)
    return lo, min(max(hi, lo), histogram.high)


def _quantile(counts: NDArray[np.int64], mass: float) -> float:
    """Return how many bins, from the left, hold ``mass`` values."""
    cumulated = np.cumsum(counts)
    bin_index = min(int(np.searchsorted(cumulated, mass, side="right")), len(counts) - 1)
    before = float(cumulated[bin_index] - counts[bin_index])
    return bin_index + (mass - before) / float(counts[bin_index])
