"""`FeedSource`: what a model reads, feed by feed, where feeds cannot be cut out of one array.

Files with pictures of several sizes are such data, and so are inputs that share no axis of samples.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING, Any

import numpy as np

from passes.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    Feeds = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class FeedSource:
    """Feeds of which no two need to have the same shapes; a source as `passes.execution.sources` has them.

    Attributes:
        names: of the arrays in every feed.
        parts: the feeds.
        sizes: samples in each feed.
        labels: classes, shape (count,), or ``None``.
        whole: True when a feed is one sample and is neither cut nor joined with others.
    """

    names: tuple[str, ...]
    parts: tuple[Feeds, ...]
    sizes: tuple[int, ...]
    labels: NDArray[np.int64] | None
    whole: bool
    prepared: bool = False

    @classmethod
    def of(cls, parts: Sequence[Feeds], where: str) -> FeedSource:
        """Take feeds as they are; ``labels`` among their arrays are labels.

        Raises:
            DataError: feeds hold different arrays, or labels that do not fit their samples.
        """
        names = tuple(name for name in parts[0] if name != "labels")
        if not names:
            raise DataError(f"{where}: holds no arrays")
        if any(set(part) != set(parts[0]) for part in parts):
            held = sorted({name for part in parts for name in part})
            raise DataError(f"{where}: expected the same arrays in every file, found {held} in some only")
        feeds = tuple({name: part[name] for name in names} for part in parts)
        found = [samples_in(feed) for feed in feeds]
        whole = None in found
        sizes = tuple(1 if whole else size or 0 for size in found)
        labels = None
        if "labels" in parts[0]:
            labels = _labels([part["labels"] for part in parts], sizes, where)
        return cls(names, feeds, sizes, labels, whole)

    @property
    def count(self) -> int:
        """Number of samples."""
        return sum(self.sizes)

    def stretches(self, stop: int) -> Iterator[tuple[int, int]]:
        """Yield the ranges of samples that have one shape, up to sample `stop`."""
        ends = list(accumulate(self.sizes))
        for start, end in zip([0, *ends], ends, strict=False):
            if start < stop:
                yield start, min(end, stop)

    def load(self, start: int, stop: int) -> Feeds:
        """Return samples of one stretch.

        Raises:
            DataError: the samples belong to several stretches.
        """
        ends = [0, *accumulate(self.sizes)]
        index = bisect_right(ends, start) - 1
        if stop > ends[index + 1]:
            raise DataError("samples of different shapes cannot share an array; this needs equal shapes")
        if self.whole:
            return self.parts[index]
        first = ends[index]
        return {name: array[start - first : stop - first] for name, array in self.parts[index].items()}


def samples_in(feed: Feeds) -> int | None:
    """Return the length of the first axis that all arrays share; ``None`` without one, or where it is 0."""
    lengths = {array.shape[0] if array.ndim else 0 for name, array in feed.items() if name != "labels"}
    return (lengths.pop() or None) if len(lengths) == 1 else None


def _labels(parts: list[NDArray[Any]], sizes: tuple[int, ...], where: str) -> NDArray[np.int64]:
    flat = [np.atleast_1d(part) for part in parts]
    if any(
        part.shape != (size,) or part.dtype.kind not in "iu" for part, size in zip(flat, sizes, strict=True)
    ):
        found = sorted({f"{part.dtype} of shape {part.shape}" for part in parts})
        raise DataError(f"{where}: expected an integer label per sample in every file, found {found}")
    return np.concatenate(flat).astype(np.int64)
