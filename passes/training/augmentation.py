"""Pictures moved and mirrored at random, so that fine-tuning does not learn them by heart."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

PICTURE_RANK = 4


def augmented(
    batch: NDArray[Any], shift: int, mirror: bool, rng: np.random.Generator, *, channels_last: bool
) -> NDArray[Any]:
    """Return a batch of pictures, each moved by a few pixels and mirrored by the toss of a coin.

    What moves in at a border repeats the pixels there: a crop out of the picture with its border continued.

    Args:
        batch: (N, C, H, W), or (N, H, W, C) with `channels_last`; other ranks come back as they are.
        shift: pixels to move at most, up or down and left or right.
        mirror: swap left and right in half of the pictures.
        rng: decides; drawn from in the same way whatever comes out.
        channels_last: see `batch`.
    """
    moves = rng.integers(-shift, shift + 1, (len(batch), 2))
    flips = rng.integers(0, 2, len(batch)).astype(bool) & mirror
    if batch.ndim != PICTURE_RANK or not (shift or mirror):
        return batch
    pictures = batch if channels_last else np.moveaxis(batch, 1, -1)
    rows, columns = (_moved(length, moves[:, axis]) for axis, length in enumerate(pictures.shape[1:3]))
    columns[flips] = columns[flips, ::-1]
    found = pictures[np.arange(len(batch))[:, None, None], rows[:, :, None], columns[:, None, :]]
    return found if channels_last else np.ascontiguousarray(np.moveaxis(found, -1, 1))


def _moved(length: int, moves: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return for each picture the index that each place of an axis is taken from, shape (N, length)."""
    found: NDArray[np.int64] = np.clip(np.arange(length) + moves[:, None], 0, length - 1)
    return found
