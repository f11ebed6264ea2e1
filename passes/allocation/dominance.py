"""Exact removal of options that another option of the same cell beats or equals in everything that counts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

CHUNK_ELEMENTS = 1 << 22
"""Comparisons held in memory at once."""


def undominated(columns: NDArray[np.float64], cell: NDArray[np.intp]) -> NDArray[np.bool_]:
    """Mark the options that can be part of a best solution.

    An option goes when another of its cell is nowhere worse and somewhere better, or equal everywhere and
    earlier. Removing it loses no optimum: the other can always take its place.

    Args:
        columns: shape (columns, options), every one better when smaller.
        cell: shape (options,), not decreasing.

    Returns:
        Shape (options,), true for what stays.
    """
    start = np.flatnonzero(np.diff(cell, prepend=-1))
    count = np.diff(start, append=len(cell))
    keep = np.ones(len(cell), dtype=bool)
    for size in np.unique(count[count > 1]):
        of_size = start[count == size]
        step = max(1, CHUNK_ELEMENTS // int(size) ** 2)
        for first in range(0, len(of_size), step):
            option = of_size[first : first + step, None] + np.arange(size)
            keep[option] = _undominated_block(columns[:, option])
    return keep


def _undominated_block(block: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Mark the survivors of cells of one size; `block` has shape (columns, cells, options)."""
    size = block.shape[2]
    covers = np.ones((block.shape[1], size, size), dtype=bool)
    for column in block:
        np.logical_and(covers, column[:, :, None] <= column[:, None, :], out=covers)
    # Equal options cover each other; the earlier one wins.
    earlier = np.triu(np.ones((size, size), dtype=bool), 1)
    beats = covers & (earlier | ~covers.transpose(0, 2, 1))
    return np.asarray(~beats.any(axis=1))
