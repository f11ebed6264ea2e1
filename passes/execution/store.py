"""`Store`: activations of a whole data set that wait for their readers, in memory or on disk."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from passes.execution.half import to_half, to_single

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from numpy.typing import NDArray

LIMIT_BYTES = 450 << 20
"""Memory for waiting arrays; what comes after that goes to a temporary folder."""
HALF_MAX = 6e4


class Store:
    """Arrays by name and batch.

    Unless it is exact, float32 waits as float16 where its range allows: half the room, 11 bits.
    """

    def __init__(self, limit: int = LIMIT_BYTES, *, exact: bool = False) -> None:
        """Make an empty store.

        Args:
            limit: bytes to hold in memory.
            exact: keep arrays as they are.
        """
        self._limit, self._held, self._exact = limit, 0, exact
        self._batches: dict[str, list[NDArray[Any] | Path]] = {}
        self._dtypes: dict[str, np.dtype[Any]] = {}
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._files = 0

    def add(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Append a batch of each array."""
        for name, array in arrays.items():
            self._dtypes[name] = array.dtype
            self._batches.setdefault(name, []).append(self._kept(array if self._exact else _compact(array)))

    def _kept(self, array: NDArray[Any]) -> NDArray[Any] | Path:
        if self._held + array.nbytes <= self._limit:
            self._held += array.nbytes
            return array
        if self._folder is None:
            self._folder = tempfile.TemporaryDirectory(prefix="qtool-")
        path = Path(self._folder.name) / f"{self._files}.npy"
        self._files += 1
        np.save(path, array, allow_pickle=False)
        return path

    def names(self) -> list[str]:
        """Return the names of all arrays."""
        return list(self._batches)

    def dtype(self, name: str) -> np.dtype[Any]:
        """Return the element type in which an array was added."""
        return self._dtypes[name]

    def batches(self, names: Iterable[str]) -> Iterator[dict[str, NDArray[Any]]]:
        """Yield the batches of some arrays, in the order and the element types in which they were added."""
        wanted = {name: self.compact(name) for name in names}
        for parts in zip(*wanted.values(), strict=True):
            pairs = zip(wanted, parts, strict=True)
            yield {name: self._restored(name, part) for name, part in pairs}

    def _restored(self, name: str, part: NDArray[Any]) -> NDArray[Any]:
        return part if part.dtype == self._dtypes[name] else to_single(part)

    def compact(self, name: str) -> Iterator[NDArray[Any]]:
        """Yield the batches of one array in the element type in which they are held."""
        for part in list(self._batches[name]):
            yield np.load(part, allow_pickle=False) if isinstance(part, Path) else part

    def drop(self, names: Iterable[str]) -> None:
        """Forget some arrays."""
        for name in names:
            for part in self._batches.pop(name):
                if isinstance(part, Path):
                    part.unlink()
                else:
                    self._held -= part.nbytes

    def clear(self) -> None:
        """Forget everything, and remove the folder."""
        self.drop(self.names())
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None


def _compact(array: NDArray[Any]) -> NDArray[Any]:
    if array.dtype != np.float32:
        return array
    halves = max(float(array.max(initial=0)), -float(array.min(initial=0))) < HALF_MAX
    return to_half(array) if halves else array
