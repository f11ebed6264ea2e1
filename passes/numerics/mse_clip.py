"""The range with the least expected squared error of quantization, from a histogram."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from passes.numerics.qparams import QuantParams, params_from_range
from passes.numerics.scales import short_scale, shorter_scale

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from passes.numerics.histogram import Histogram
    from passes.numerics.qparams import QuantSpec

CLIP_FACTORS = np.arange(1, 101) / 100.0
"""Shares of the full range that a search tries, up to no clipping at all."""

SEARCH_LEVELS = 256
"""Formats with more levels than this are never clipped: their step is hardly wider than a bin."""


def mse_range(histogram: Histogram, spec: QuantSpec) -> tuple[float, float]:
    """Return the range, of those tried, with the least error; clipping included, rounding to the nearest.

    Both ends shrink together first. For an asymmetric quantizer the upper and then the lower end move alone.

    Raises:
        DataError: the histogram is empty.
    """
    density = _Density.of(histogram)
    lo, hi = min(histogram.low, 0.0), max(histogram.high, 0.0)
    if spec.format.levels > SEARCH_LEVELS:
        return lo, hi
    if spec.symmetric:
        ends = max(-lo, hi) * CLIP_FACTORS
        return density.best(np.maximum(lo, -ends), np.minimum(hi, ends), spec)
    los, his = lo * CLIP_FACTORS, hi * CLIP_FACTORS
    best = density.best(los, his, spec)
    if lo < 0.0 < hi:
        best = density.best(np.full_like(los, best[0]), his, spec)
        best = density.best(los, np.full_like(his, best[1]), spec)
    return best


def best_short_params(histogram: Histogram, spec: QuantSpec) -> QuantParams:
    """Return, of the parameters with a short scale around the best range, those with the least error.

    Args:
        histogram: the values seen.
        spec: a quantizer per tensor.

    Raises:
        DataError: the histogram is empty.
    """
    lo, hi = mse_range(histogram, spec)
    fmt, whole = spec.format, params_from_range(lo, hi, spec)
    covering = short_scale(whole.scale, up=True, places=spec.scale_places)
    if fmt.levels > SEARCH_LEVELS:
        return QuantParams(covering, _zero_points(lo, covering, spec))
    steps = range(0, 3 * spec.scale_places, spec.scale_places)
    scales = np.array([shorter_scale(covering, step) for step in steps]).reshape(-1)
    shifts = (0,) if histogram.low >= 0.0 or spec.symmetric else (-1, 0, 1)
    scale = np.repeat(scales, len(shifts))
    zero = np.clip(_zero_points(lo, scale, spec) + np.tile(shifts, len(scales)), fmt.qmin, fmt.qmax)
    density = _Density.of(histogram)
    errors = density.squared_errors(scale.astype(np.float64) / density.width, fmt.qmin - zero, fmt.levels)
    best = int(np.argmin(errors))
    return QuantParams(scale[best], zero[best])


def _zero_points(low: float, scale: NDArray[np.float32], spec: QuantSpec) -> NDArray[np.int32]:
    if spec.symmetric:
        return params_from_range(np.full_like(scale, low), np.zeros_like(scale), spec).zero_point
    zero = np.rint(spec.format.qmin - min(low, 0.0) / scale.astype(np.float64))
    return np.clip(zero, spec.format.qmin, spec.format.qmax).astype(np.int32)


@dataclass(frozen=True, slots=True)
class _Density:
    """A histogram as a piecewise constant density, integrated twice; abscissae are in bins.

    Attributes:
        width: of a bin, in the unit of the values.
        first: position of the left edge of the table.
        total: number of values.
        mean: of the values.
        table: rows G, G', G'' at the left edge of each bin, shape (3, bins + 2), where G'' is the density; an
            empty bin at either end carries G on to infinity.
    """

    width: float
    first: int
    total: float
    mean: float
    table: NDArray[np.float64]

    @classmethod
    def of(cls, histogram: Histogram) -> _Density:
        """Integrate a histogram."""
        first, counts = histogram.occupied()
        density = np.pad(counts.astype(np.float64), 1)
        cumulated = np.cumsum(density) - density
        rises = cumulated + density / 2.0
        table = np.stack([np.cumsum(rises) - rises, cumulated, density])
        total = float(counts.sum())
        mean = float(counts @ (np.arange(len(counts)) + 0.5)) / total + first
        return cls(histogram.width, first - 1, total, mean, table)

    def best(self, lo: NDArray[np.float64], hi: NDArray[np.float64], spec: QuantSpec) -> tuple[float, float]:
        """Return the candidate range with the least error; the last among equals."""
        params = params_from_range(lo, hi, spec)
        steps = params.scale.astype(np.float64) / self.width
        errors = self.squared_errors(steps, spec.format.qmin - params.zero_point, spec.format.levels)
        best = len(errors) - 1 - int(np.argmin(errors[::-1]))
        return float(lo[best]), float(hi[best])

    def squared_errors(
        self, steps: NDArray[np.float64], lowest: NDArray[np.int32], levels: int
    ) -> NDArray[np.float64]:
        """Return the squared errors of uniform quantizers, less a term that is the same for all.

        A quantizer maps x to the nearest of the points ``step * (lowest + i)``, i < levels. If all x went to
        the last point p, the error would be ``total * (p * p - 2 * p * mean)`` and a constant. Summed by
        parts, the boundary b between each two points takes ``2 * step * G(b)`` off.

        Args:
            steps: distances of points in bins, shape (candidates,).
            lowest: indices of the first points, shape (candidates,).
            levels: number of points.
        """
        indices = lowest[:, np.newaxis] + np.arange(levels - 1)
        saved = self._twice_integrated((indices + 0.5) * steps[:, np.newaxis]).sum(axis=1)
        last = (lowest + levels - 1) * steps
        return np.asarray(self.total * last * (last - 2.0 * self.mean) - 2.0 * steps * saved)

    def _twice_integrated(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return G at each ``x``."""
        offset = x - self.first
        bins = np.clip(offset, 0, self.table.shape[1] - 1).astype(np.intp)
        rest = offset - bins
        value, slope, curvature = (row[bins] for row in self.table)
        return np.asarray((curvature * 0.5 * rest + slope) * rest + value)
