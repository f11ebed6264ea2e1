"""`NpzStream`: arrays of an .npz file, a few samples at a time: the file may be larger than memory."""

from __future__ import annotations

import zipfile
import zlib
from contextlib import ExitStack, contextmanager
from typing import IO, TYPE_CHECKING, Any, Self

import numpy as np

from passes.errors import DataError
from passes.execution.npz import Header, read_header

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray


class NpzStream:
    """Arrays whose first axis counts samples; a context manager that keeps the file open."""

    def __init__(self, path: Path, names: Sequence[str]) -> None:
        """Open the file and read the headers.

        Args:
            path: an .npz file.
            names: arrays to read; a single one may be called ``x`` in the file.

        Raises:
            DataError: the file cannot be read, or an array is missing.
        """
        self._path = path
        self._resources = ExitStack()
        self._arrays: dict[str, tuple[IO[bytes], Header]] = {}
        try:
            with self._reading():
                archive = self._resources.enter_context(zipfile.ZipFile(path))
                entries = {entry.filename.removesuffix(".npy"): entry for entry in archive.infolist()}
                for name, found in self._find(names, entries).items():
                    stream = self._resources.enter_context(archive.open(found))
                    self._arrays[name] = stream, read_header(stream, found)
        except DataError:
            self._resources.close()
            raise

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the file."""
        self._resources.close()

    @property
    def count(self) -> int | None:
        """Number of samples, or ``None`` when arrays have none or differ."""
        counts = {header.shape[0] if header.shape else None for _, header in self._arrays.values()}
        return counts.pop() if len(counts) == 1 else None

    def batches(self, size: int | None) -> Iterator[dict[str, NDArray[Any]]]:
        """Yield so many samples of every array at a time, or all of them at once; can be called once.

        Raises:
            DataError: the file is damaged.
        """
        count = self.count
        if size is None or count is None or count == 0:
            yield {name: self._read(name, None) for name in self._arrays}
            return
        whole = {name: self._read(name, None) for name, (_, header) in self._arrays.items() if header.fortran}
        for start in range(0, count, size):
            stop = min(count, start + size)
            yield {
                name: whole[name][start:stop] if name in whole else self._read(name, stop - start)
                for name in self._arrays
            }

    def _read(self, name: str, samples: int | None) -> NDArray[Any]:
        stream, header = self._arrays[name]
        shape = header.shape if samples is None else (samples, *header.shape[1:])
        part = Header(shape, header.fortran, header.dtype)
        with self._reading():
            data = stream.read(part.size_bytes)
            return np.frombuffer(data, header.dtype).reshape(shape, order="F" if header.fortran else "C")

    def _find(self, names: Sequence[str], entries: dict[str, zipfile.ZipInfo]) -> dict[str, zipfile.ZipInfo]:
        if len(names) == 1 and names[0] not in entries and "x" in entries:
            return {names[0]: entries["x"]}
        if any(name not in entries for name in names):
            found = ", ".join(sorted(entries)) or "none"
            raise DataError(
                f"{self._path}: expected an array for each input {', '.join(names)}, found {found}"
            )
        return {name: entries[name] for name in names}

    @contextmanager
    def _reading(self) -> Iterator[None]:
        try:
            yield
        except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error, RuntimeError) as error:
            raise DataError(f"{self._path}: cannot be read as .npz: {error}") from error
