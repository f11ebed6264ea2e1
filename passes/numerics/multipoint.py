"""Rows of a matrix as sums of a few vectors of low bits, found greedily.

``w ~ sum over i of a_i v_i`` with v_i on a grid of few integers, each new point on what the others leave
[Liu et al. 2020, Post-training Quantization with Multiple Points, arXiv 2002.09049, algorithm 1]. Here every
a_i is a whole multiple of one scale for each row, so that integers can add the points up without rounding.

All arrays have a leading axis over the groups of a convolution; a plain matrix has one group.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from passes.numerics.gptq import Grid, Rounder, descend
from passes.numerics.scales import shorter_scale

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Matrix = NDArray[np.float64]

CANDIDATES = 24
"""Coefficients tried for each point after the first, spread evenly over their logarithms."""
FINEST = 7
"""The least coefficient is the first over two to this power, so that multipliers fit a byte."""
COARSER = (0, 2, 4, 6, 8)
"""Places by which the first coefficient may grow where others follow; eight double it."""


@dataclass(frozen=True, slots=True)
class Approximation:
    """Every row as a sum of the same number of points.

    Attributes:
        codes: integers of each point, each of shape (groups, rows, depth).
        scale: coefficients of each point, float32 (groups, rows).
        loss: mean squared error of the products of each row, (groups, rows).
    """

    codes: tuple[NDArray[np.int8], ...]
    scale: tuple[NDArray[np.float32], ...]
    loss: Matrix

    def values(self) -> Matrix:
        """Return what the points add up to."""
        pairs = zip(self.codes, self.scale, strict=True)
        return np.asarray(sum(codes * scale[..., None].astype(np.float64) for codes, scale in pairs))


@dataclass(frozen=True, slots=True)
class Pursuit:
    """A search for points.

    Attributes:
        hessian: second moments of what the rows multiply, (groups, depth, depth), `damped`.
        bits: width of the integers, of which the grid has the symmetric ones and the lowest.
        low: least integer.
        high: greatest integer.
        finest: the least coefficient of a row is the first over two to this power, (groups, rows).
        powers: take powers of two times the first coefficient only.
        sweeps: of coordinate descent on the last point, after it was rounded by second moments; 0: to the
            nearest, as in the paper.
    """

    hessian: Matrix
    bits: int
    low: int
    high: int
    finest: NDArray[np.int64]
    powers: bool = False
    sweeps: int = 4

    def approximations(self, weight: Matrix, first: NDArray[np.float32], most: int) -> list[Approximation]:
        """Return the rows as one point, as sums of two, and so on.

        The points before the last are rounded to the nearest, which leaves the least for the last.

        Args:
            weight: (groups, rows, depth).
            first: the scale of plain rounding, (groups, rows), short.
            most: points.
        """
        rounder = Rounder(self.hessian) if self.sweeps else None
        found = [self._closed(weight, (), (), first, rounder)]
        scale, left = self._start(weight, first), weight
        codes: tuple[NDArray[np.int8], ...] = ()
        scales: tuple[NDArray[np.float32], ...] = ()
        start = scale
        for number in range(1, most):
            point = self._nearest(left, scale)
            codes, scales = (*codes, point.astype(np.int8)), (*scales, scale)
            left = left - point * scale[..., None].astype(np.float64)
            scale = self._next(left, start, number)
            found.append(self._closed(left, codes, scales, scale, rounder))
        return found

    def energy(self, weight: Matrix) -> Matrix:
        """Return the mean square of the products of each row, (groups, rows)."""
        return np.asarray(((weight @ self.hessian) * weight).sum(axis=2))

    def _closed(
        self,
        left: Matrix,
        codes: tuple[NDArray[np.int8], ...],
        scales: tuple[NDArray[np.float32], ...],
        scale: NDArray[np.float32],
        rounder: Rounder | None,
    ) -> Approximation:
        """Add the last point."""
        if rounder is None:
            point = self._nearest(left, scale)
        else:
            grid = Grid(scale[..., None].astype(np.float64), self.low, self.high)
            point = descend(left, self.hessian, grid, rounder.codes(left, grid), self.sweeps)
        error = left - point * scale[..., None].astype(np.float64)
        return Approximation((*codes, point.astype(np.int8)), (*scales, scale), self.energy(error))

    def _start(self, weight: Matrix, first: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the first coefficient where others follow: a larger one may cut off less."""
        places = [it for it in COARSER if not self.powers or it % 8 == 0]
        tried = [shorter_scale(np.ascontiguousarray(first), -it) for it in places]
        losses = []
        for scale in tried:
            left = weight - self._nearest(weight, scale) * scale[..., None]
            second = self._next(left, scale, 1)
            losses.append(self._diagonal_loss(left, second))
        return _pick(tried, losses)

    def _next(self, left: Matrix, start: NDArray[np.float32], number: int) -> NDArray[np.float32]:
        """Return the coefficient of least error, rounding to the nearest and by the diagonal alone."""
        unit = np.ldexp(start, -np.minimum(self.finest, min(FINEST, self.bits * number))).astype(np.float32)
        tried = [unit * np.float32(factor) for factor in self._factors()]
        return _pick(tried, [self._diagonal_loss(left, scale) for scale in tried])

    def _factors(self) -> list[int]:
        if self.powers:
            return [1 << power for power in range(self.bits + 1)]
        spread = np.geomspace(1, 1 << self.bits, CANDIDATES)
        return [int(factor) for factor in np.unique(np.rint(spread))]

    def _diagonal_loss(self, left: Matrix, scale: NDArray[np.float32]) -> Matrix:
        error = left - self._nearest(left, scale) * scale[..., None]
        return np.asarray(np.einsum("gnd,gd->gn", error * error, np.einsum("gdd->gd", self.hessian)))

    def _nearest(self, left: Matrix, scale: NDArray[np.float32]) -> Matrix:
        return np.asarray(np.clip(np.rint(left / scale[..., None]), self.low, self.high))


def _pick(tried: list[NDArray[np.float32]], losses: list[Matrix]) -> NDArray[np.float32]:
    """Return, for each row, what lost least; the first of equals."""
    best = np.stack(losses).argmin(axis=0)
    return np.asarray(np.take_along_axis(np.stack(tried), best[None], 0)[0])
