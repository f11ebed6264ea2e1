"""Reading .npz files from strangers, with numpy alone."""

from __future__ import annotations

import math
import tokenize
import zipfile
import zlib
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from passes.errors import DataError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Header:
    """What an array in a file is: its shape, whether its first axis varies fastest, and its type."""

    shape: tuple[int, ...]
    fortran: bool
    dtype: np.dtype[Any]

    @property
    def size_bytes(self) -> int:
        """Bytes of the elements."""
        return self.dtype.itemsize * math.prod(self.shape)


def read_npz(path: Path) -> dict[str, NDArray[Any]]:
    """Read all arrays of an .npz file by name.

    Raises:
        DataError: no such file, no .npz, damaged, or an array whose header does not fit its bytes.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
            return {entry.filename.removesuffix(".npy"): _array(archive, entry) for entry in entries}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error, RuntimeError) as error:
        raise DataError(f"{path}: cannot be read as .npz: {error}") from error


def _array(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> NDArray[Any]:
    with archive.open(entry) as stream:
        header = read_header(stream, entry)
        data = stream.read(header.size_bytes)
    return np.frombuffer(data, header.dtype).reshape(header.shape, order="F" if header.fortran else "C")


def read_header(stream: IO[bytes], entry: zipfile.ZipInfo) -> Header:
    """Read the header of an array; it is believed only when it describes as many bytes as follow it.

    Raises:
        ValueError: it does not, or the entry is compressed in a way that numpy does not write.
    """
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ValueError(f"the array {entry.filename} is compressed in a way that numpy does not write")
    header = Header(*_header(stream))
    unsound = header.dtype.hasobject or min(header.shape, default=0) < 0
    if unsound or header.size_bytes != entry.file_size - stream.tell():
        described = f"shape {header.shape} and type {header.dtype}"
        raise ValueError(f"the array {entry.filename} of {described} does not fit its bytes")
    return header


def _header(stream: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Read what NumPy writes in front of an array: a literal, of which its reader tokenizes any text."""
    old = np.lib.format.read_magic(stream) == (1, 0)
    read = np.lib.format.read_array_header_1_0 if old else np.lib.format.read_array_header_2_0
    try:
        return read(stream)
    except (tokenize.TokenError, SyntaxError, TypeError, RecursionError) as error:
        raise ValueError(f"the header of an array is no literal: {error}") from error
