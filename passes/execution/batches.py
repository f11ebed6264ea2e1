"""Batches that are read many times: kept in memory while they fit into a budget, else read again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from passes.execution.prefetch import prefetch

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from passes.execution.dataset import Dataset

    Feeds = dict[str, NDArray[Any]]

MEMORY_BYTES = 320 << 20
"""Default budget: 557 images of 224 x 224 in float32."""


class Batches:
    """The first samples of a data set, in batches, for any number of passes over them."""

    def __init__(
        self, data: Dataset, size: int, limit: int | None = None, memory_bytes: int = MEMORY_BYTES
    ) -> None:
        """Choose samples; nothing is read yet.

        Args:
            data: where they come from.
            size: samples in a batch; the model's own where it insists on one.
            limit: use the first so many samples; ``None`` for all.
            memory_bytes: keep the batches when all of them need no more than this.
        """
        self._data, self._size, self._limit, self._memory = data, size, limit, memory_bytes
        self._kept: list[Feeds] | None = None

    def __iter__(self) -> Iterator[Feeds]:
        """Yield feeds; the first pass keeps them if they fit."""
        if self._kept is not None:
            yield from self._kept
            return
        kept: list[Feeds] = []
        room = self._memory
        for feeds in prefetch(self._data.batches(self._size, self._limit)):
            room -= sum(array.nbytes for array in feeds.values())
            if room >= 0:
                kept.append(feeds)
            else:
                kept.clear()
            yield feeds
        self._kept = kept if room >= 0 else None
