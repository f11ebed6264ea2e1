"""Fits rates to measurements, and says on points held out how far off they are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize import nnls

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

FOLDS = 7
"""Parts of the points, of which each is predicted from the others."""


@dataclass(frozen=True, slots=True)
class Fit:
    """Rates of one table.

    Attributes:
        rates: seconds per count, none negative, shape (features,).
        points: measurements.
        median_error: median of ``|predicted / measured - 1|`` over points that were held out.
        p90_error: the 90th percentile of the same.
    """

    rates: Floats
    points: int
    median_error: float
    p90_error: float

    @property
    def free(self) -> bool:
        """Whether no time was found at all: the operator is fused into others."""
        return not self.rates.any()


def fit_rates(counts: Floats, seconds: Floats) -> Fit:
    """Fit ``seconds = counts @ rates`` by non-negative least squares on relative errors.

    Args:
        counts: shape (points, features).
        seconds: shape (points,), none negative; points of 0 s are fused away and count only when all are.

    Returns:
        The fit to all points, with errors on held-out ones; without two points of more than 0 s, no errors.
    """
    counts, seconds = counts[seconds > 0], seconds[seconds > 0]
    points = len(seconds)
    if points == 0:
        return Fit(np.zeros(counts.shape[1]), 0, 0.0, 0.0)
    fold = np.arange(points) % min(FOLDS, points)
    errors = np.zeros(points)
    for part in range(fold.max() + 1 if points > 1 else 0):
        held = fold == part
        errors[held] = counts[held] @ _solve(counts[~held], seconds[~held]) / seconds[held] - 1
    median, p90 = np.quantile(np.abs(errors), (0.5, 0.9))
    return Fit(_solve(counts, seconds), points, float(median), float(p90))


def _solve(counts: Floats, seconds: Floats) -> Floats:
    """Scale columns to comparable size first: counts differ by eight orders of magnitude."""
    relative = counts / seconds[:, np.newaxis]
    scale = np.maximum(relative.max(axis=0), np.finfo(np.float64).tiny)
    rates, _ = nnls(relative / scale, np.ones(len(seconds)))
    return np.asarray(rates / scale, dtype=np.float64)
