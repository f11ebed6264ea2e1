"""Outputs of several batches as one array each, even where more than their first axes differ."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray


def joined(batches: Iterable[Sequence[NDArray[Any]]]) -> list[NDArray[Any]]:
    """Join the outputs of batches, output by output.

    Args:
        batches: the outputs of each batch, in the model's order.

    Returns:
        One array per output, batches along the first axis. Where other axes differ it has two axes: all but
        the last run along the first, and rows shorter than others repeat their last entry, which changes
        neither where their largest entry is nor whether two of them are equal.
    """
    return [_joined([np.asarray(part) for part in parts]) for parts in zip(*batches, strict=True)]


def _joined(parts: list[NDArray[Any]]) -> NDArray[Any]:
    if len({part.shape[1:] for part in parts}) == 1 and parts[0].ndim:
        return np.concatenate(parts)
    rows = [part.reshape(-1, part.shape[-1] if part.ndim else 1) for part in parts]
    rows = [part for part in rows if part.size] or rows[:1]
    width = max(part.shape[1] for part in rows)
    return np.concatenate([np.pad(part, ((0, 0), (0, width - part.shape[1])), "edge") for part in rows])
