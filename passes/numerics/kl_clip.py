"""The range whose quantized distribution diverges least from the original, from a histogram."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from passes.numerics.histogram import HALF_BINS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from passes.numerics.histogram import Histogram
    from passes.numerics.qparams import QuantSpec

_CANDIDATES = 100
# Probability given to a bin that the quantized distribution misses, so that the divergence stays finite.
_FLOOR = 1e-6


def kl_range(histogram: Histogram, spec: QuantSpec) -> tuple[float, float]:
    """Return the range with the least Kullback-Leibler divergence.

    The entropy calibration of S. Migacz, "8-bit inference with TensorRT" (GTC 2017), on the distribution of
    magnitudes: a threshold is tried, what lies beyond is added to the last bin of the reference, and the
    divergence from the reference to the quantized distribution is taken.

    Raises:
        DataError: the histogram is empty.
    """
    histogram.occupied()
    lo, hi = min(histogram.low, 0.0), max(histogram.high, 0.0)
    magnitudes = histogram.counts[HALF_BINS:] + histogram.counts[:HALF_BINS][::-1]
    used = int(np.flatnonzero(magnitudes)[-1]) + 1
    two_sided = spec.symmetric or lo < 0.0 < hi
    levels = max(spec.format.levels // 2, 1) if two_sided else spec.format.levels
    if levels >= used:
        return lo, hi
    # Zero is held exactly by every quantizer: the spike that a Relu leaves there must not decide.
    magnitudes[0] = min(magnitudes[0], magnitudes[1])
    stops = np.unique(np.linspace(levels, used, _CANDIDATES).astype(np.intp))
    divergences = [_divergence(magnitudes[:used], int(stop), levels) for stop in stops]
    threshold = int(stops[int(np.argmin(divergences))]) * histogram.width
    return max(lo, -threshold), min(hi, threshold)


def _divergence(magnitudes: NDArray[np.int64], stop: int, levels: int) -> float:
    """Return the divergence in nats when the first ``stop`` bins are quantized to ``levels`` levels."""
    inside = magnitudes[:stop].astype(np.float64)
    reference = inside.copy()
    reference[-1] += magnitudes[stop:].sum()
    quantized = _spread(inside, levels)
    reference /= reference.sum()
    quantized /= max(quantized.sum(), 1.0)
    kept = reference > 0.0
    ratio = reference[kept] / np.maximum(quantized[kept], _FLOOR)
    return float(reference[kept] @ np.log(ratio))


def _spread(counts: NDArray[np.float64], levels: int) -> NDArray[np.float64]:
    """Merge the bins into ``levels`` runs and spread each sum evenly over the bins of the run in use."""
    starts = np.arange(levels) * len(counts) // levels
    present = (counts > 0.0).astype(np.float64)
    share = np.add.reduceat(counts, starts) / np.maximum(np.add.reduceat(present, starts), 1.0)
    return np.asarray(np.repeat(share, np.diff(starts, append=len(counts))) * present)
