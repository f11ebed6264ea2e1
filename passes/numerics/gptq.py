"""Rounding of a matrix so that its products change least, given the second moments of what it multiplies.

The loss of codes that stand for V in place of W is ``tr((V - W) H (V - W)^T)`` with ``H = E[x x^T]``. Columns
are rounded one after the other, and the columns not yet rounded take up the error [Frantar et al. 2022, GPTQ,
arXiv 2210.17323, algorithm 1; the order and the update are those of OBQ, arXiv 2208.11580, eq. 3].

All arrays have a leading axis over the groups of a convolution; a plain matrix has one group.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from passes.numerics.levels import nearest_level

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Matrix = NDArray[np.float64]

BLOCK = 128
"""Columns whose error is passed on to all later columns at once."""


LEAST = 1e-9
"""Second moments below this part of their mean count as zero."""


@dataclass(frozen=True, slots=True)
class Grid:
    """The values that a rounded matrix may take: ``scale`` times an integer from `low` to `high`.

    Attributes:
        scale: positive, of a shape that broadcasts to (groups, rows, depth).
        low: least integer.
        high: greatest integer.
        levels: those of the integers that are taken, ascending; ``None``: all.
    """

    scale: Matrix
    low: int
    high: int
    levels: tuple[int, ...] | None = None

    def nearest(self, values: Matrix, scale: Matrix) -> Matrix:
        """Return the nearest integers of the grid, ties to even, for values with this part of its scale."""
        if self.levels is not None:
            return nearest_level(values / scale, self.levels).astype(np.float64)
        return np.asarray(np.clip(np.rint(values / scale), self.low, self.high))


def damped(hessian: Matrix, share: float) -> Matrix:
    """Shrink second moments towards their diagonal, so that they can be inverted and chance is not followed.

    Moments of few vectors correlate columns that only happened to move together. A column that is always
    zero gets the mean of the diagonal: it is rounded to the nearest, and moves no other.

    Args:
        hessian: shape (groups, depth, depth), symmetric and positive semidefinite.
        share: of the diagonal matrix in the result; above 0 and at most 1.
    """
    diagonal = np.einsum("gdd->gd", hessian)
    mean = diagonal.mean(axis=1, keepdims=True)
    shrunk = hessian * (1 - share)
    own = np.einsum("gdd->gd", shrunk)
    own[...] = np.where(diagonal > mean * LEAST, diagonal, np.where(mean > 0, mean, 1.0))
    return shrunk


class Rounder:
    """Rounds matrices by the greedy method of GPTQ; what depends on the moments alone is computed once."""

    def __init__(self, hessian: Matrix, *, act_order: bool = True) -> None:
        """Order the columns and factor the moments.

        Args:
            hessian: `damped` second moments, shape (groups, depth, depth).
            act_order: round columns of large second moments first, while many others can take up their error.
        """
        diagonal = np.einsum("gdd->gd", hessian)
        order = np.argsort(-diagonal if act_order else np.zeros_like(diagonal), axis=1, kind="stable")
        self._columns = order[:, None, :]
        ordered = np.take_along_axis(np.take_along_axis(hessian, order[:, :, None], 1), self._columns, 2)
        self._factor = _factor(ordered)

    @property
    def nbytes(self) -> int:
        """Memory that it takes."""
        return int(self._columns.nbytes + self._factor.nbytes)

    def codes(self, weight: Matrix, grid: Grid) -> Matrix:
        """Return integers whose values change the products little, as float64.

        Args:
            weight: what to approximate, shape (groups, rows, depth).
            grid: the values allowed.
        """
        left = np.take_along_axis(weight, self._columns, 2)
        scale = np.take_along_axis(np.broadcast_to(grid.scale, weight.shape), self._columns, 2)
        codes = _greedy(left, self._factor, grid, scale)
        np.put_along_axis(left, self._columns, codes, 2)
        return left


def _factor(hessian: Matrix) -> Matrix:
    """Return the upper triangular U with ``U^T U`` equal to the inverse, shape (groups, depth, depth)."""
    # The inverse of a triangular factor, taken from the other end, needs no factor of an inverse.
    flipped = np.linalg.cholesky(hessian[:, ::-1, ::-1])
    return np.ascontiguousarray(np.linalg.inv(flipped)[:, ::-1, ::-1])


def _greedy(left: Matrix, factor: Matrix, grid: Grid, scale: Matrix) -> Matrix:
    codes = np.empty_like(left)
    depth = left.shape[2]
    for start in range(0, depth, BLOCK):
        block = slice(start, min(start + BLOCK, depth))
        errors = np.empty_like(left[:, :, block])
        for index in range(start, block.stop):
            codes[:, :, index] = grid.nearest(left[:, :, index], scale[:, :, index])
            error = left[:, :, index] - codes[:, :, index] * scale[:, :, index]
            error /= factor[:, None, index, index]
            rest = slice(index + 1, block.stop)
            left[:, :, rest] -= error[:, :, None] * factor[:, None, index, rest]
            errors[:, :, index - start] = error
        left[:, :, block.stop :] -= errors @ factor[:, block, block.stop :]
    return codes


def descend(weight: Matrix, hessian: Matrix, grid: Grid, codes: Matrix, sweeps: int) -> Matrix:
    """Improve integers one column at a time, each to its best given all others, until none moves.

    The loss never grows. Coordinate descent on the quadratic form; for the shapes see `Rounder`.

    Args:
        weight: what to approximate.
        hessian: `damped` second moments.
        grid: the values allowed.
        codes: where to start; not changed.
        sweeps: largest number of passes over the columns.
    """
    scale = np.broadcast_to(grid.scale, weight.shape)
    codes = codes.copy()
    slope = (codes * scale - weight) @ hessian
    for _ in range(sweeps):
        moved = False
        for index in range(weight.shape[2]):
            step = scale[:, :, index]
            best = codes[:, :, index] * step - slope[:, :, index] / hessian[:, None, index, index]
            change = grid.nearest(best, step) - codes[:, :, index]
            group, row = np.nonzero(change)
            if len(group):
                moved = True
                codes[group, row, index] += change[group, row]
                slope[group, row] += (change * step)[group, row, None] * hessian[group, index]
        if not moved:
            break
    return codes


def loss(weight: Matrix, hessian: Matrix, grid: Grid, codes: Matrix) -> Matrix:
    """Return the loss of each row, shape (groups, rows)."""
    error = codes * grid.scale - weight
    return np.asarray(((error @ hessian) * error).sum(axis=2))
