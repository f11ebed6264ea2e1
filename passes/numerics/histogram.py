"""A streaming histogram of float32 values: bounded memory, and the order of data does not matter."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from passes.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

HALF_BINS = 2048
"""Bins on either side of zero."""

# Below this a bin could not be inverted in float32; smaller values share the bins next to zero.
_MIN_EXPONENT = -120
_CHUNK = 1 << 16


@dataclass(slots=True, eq=False)
class Histogram:
    """Counts over 4096 bins of width ``2**exponent``, of which 2048 lie on either side of zero.

    Bin ``i`` of ``counts`` holds the values x with ``floor(x / width) == i - 2048``. When a value falls
    outside, the width doubles as often as needed and neighbours are merged. The bins of one width nest in
    those of the next, so that no order of `update` and `merge` changes the result.

    Attributes:
        counts: int64, shape (4096,).
        exponent: binary logarithm of the bin width.
        low: exact minimum; +inf while empty.
        high: exact maximum; -inf while empty.
    """

    counts: NDArray[np.int64] = field(default_factory=lambda: np.zeros(2 * HALF_BINS, dtype=np.int64))
    exponent: int = _MIN_EXPONENT
    low: float = math.inf
    high: float = -math.inf

    @property
    def total(self) -> int:
        """Number of values seen."""
        return int(self.counts.sum())

    @property
    def width(self) -> float:
        """Width of a bin, in the unit of the values."""
        return math.ldexp(1.0, self.exponent)

    def update(self, x: NDArray[Any]) -> None:
        """Count every element of ``x``, of any shape.

        Raises:
            DataError: an element is NaN or infinite as float32; nothing is counted then.
        """
        if x.size == 0:
            return
        with np.errstate(over="ignore", invalid="ignore"):
            flat = np.asarray(x, dtype=np.float32).reshape(-1)
        low, high = float(flat.min()), float(flat.max())
        # min and max hand NaN on, so that no pass over the data is spent on the check.
        if not (math.isfinite(low) and math.isfinite(high)):
            raise DataError(
                f"histogram: values must be finite, found {low}..{high} in an array of shape {x.shape}"
            )
        self._cover(low, high)
        # In float32 a tiny negative value would underflow to zero, and change its side of it.
        scale = np.float64(1.0 / self.width)
        for start in range(0, flat.size, _CHUNK):
            index = np.multiply(flat[start : start + _CHUNK], scale, dtype=np.float64)
            np.floor(index, out=index)
            index += HALF_BINS
            self.counts += np.bincount(index.astype(np.intp), minlength=2 * HALF_BINS)

    def merge(self, other: Histogram) -> None:
        """Add the values of ``other`` to this histogram, as if they had been seen here."""
        self._cover(other.low, other.high)
        self.counts += _coarsened(other.counts, self.exponent - other.exponent)

    def occupied(self) -> tuple[int, NDArray[np.int64]]:
        """Return the counts from the first to the last bin in use, and the index of that first bin from zero.

        Bin j of the result covers ``[(first + j) * width, (first + j + 1) * width)``.

        Raises:
            DataError: the histogram is empty.
        """
        used = np.flatnonzero(self.counts)
        if used.size == 0:
            raise DataError("histogram: no values were seen; run calibration on at least one sample")
        return int(used[0]) - HALF_BINS, self.counts[used[0] : used[-1] + 1]

    def _cover(self, low: float, high: float) -> None:
        """Widen the bins until they hold ``[low, high]``."""
        self.low, self.high = min(self.low, low), max(self.high, high)
        peak = max(-self.low, self.high)
        # Zeros, or no values at all, fit bins of any width.
        if peak <= 0.0:
            return
        _, exponent = math.frexp(peak)
        wanted = max(exponent - (HALF_BINS.bit_length() - 1), self.exponent)
        self.counts = _coarsened(self.counts, wanted - self.exponent)
        self.exponent = wanted


def _coarsened(counts: NDArray[np.int64], doublings: int) -> NDArray[np.int64]:
    """Return the counts that bins ``2**doublings`` times as wide would have."""
    if doublings == 0:
        return counts
    # After log2(4096) doublings only the two bins next to zero are left.
    bins = np.arange(-HALF_BINS, HALF_BINS) >> min(doublings, HALF_BINS.bit_length())
    result = np.zeros_like(counts)
    np.add.at(result, bins + HALF_BINS, counts)
    return result
