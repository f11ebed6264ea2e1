"""How many points each row gets: under a bound on its error, and within a budget for all rows together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Matrix = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Offer:
    """What points are worth to the rows of one layer.

    Attributes:
        loss: mean squared error with one point, two and so on, (points, rows).
        energy: mean square of the exact products, (rows,).
        price: of another point for one row.
    """

    loss: Matrix
    energy: Matrix
    price: float

    def wanted(self, threshold: float) -> NDArray[np.int64]:
        """Return the fewest points, (rows,), whose error is at most this part of the product, or all.

        Both are root mean squares, as in the criterion of arXiv 2002.09049, section 3.2.
        """
        enough = self.loss <= threshold**2 * self.energy
        return np.where(enough.any(axis=0), enough.argmax(axis=0), len(enough) - 1).astype(np.int64) + 1

    def gains(self) -> Matrix:
        """Return what each further point takes off the noise of the layer for its price, (points - 1, rows).

        A point is never worth more than one before it, so that taking the best first takes them in order.
        """
        total = float(self.energy.sum()) or 1.0
        falls = np.maximum(self.loss[:-1] - self.loss[1:], 0.0) / (total * self.price)
        return np.asarray(np.minimum.accumulate(falls, axis=0))


def spend(offers: Sequence[Offer], threshold: float, budget: float) -> list[NDArray[np.int64]]:
    """Return the points of every row, each array of shape (rows,).

    Points go where the relative noise of a layer falls most for their price, first to last, as long as the
    row misses the threshold and the budget lasts.

    Args:
        offers: one for each layer.
        threshold: relative error at which a row has enough.
        budget: what all points beyond the first of each row may cost.
    """
    steps = [_steps(index, offer, threshold) for index, offer in enumerate(offers)]
    gain, layer, row, price = (np.concatenate(parts) for parts in zip(*steps, strict=True))
    counts = [np.ones(offer.energy.size, np.int64) for offer in offers]
    # All points of a row have one price: where one does not fit, none behind it does.
    for at in np.argsort(-gain, kind="stable"):
        if price[at] <= budget:
            budget -= price[at]
            counts[layer[at]][row[at]] += 1
    return counts


def _steps(
    index: int, offer: Offer, threshold: float
) -> tuple[Matrix, NDArray[np.int64], NDArray[np.int64], Matrix]:
    gains = offer.gains()
    number, row = np.nonzero((np.arange(len(gains))[:, None] + 1 < offer.wanted(threshold)) & (gains > 0))
    return (
        gains[number, row],
        np.full(row.shape, index, np.int64),
        row.astype(np.int64),
        np.full(row.shape, offer.price),
    )
