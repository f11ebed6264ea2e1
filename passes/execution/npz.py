"""Reading .npz files from strangers, with numpy alone."""

from __future__ import annotations

import math
import zipfile
import zlib
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from passes.errors import DataError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray


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
    """Read one array; its header is believed only when it describes as many bytes as follow it."""
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ValueError(f"the array {entry.filename} is compressed in a way that numpy does not write")
    with archive.open(entry) as stream:
        shape, fortran, dtype = _header(stream)
        expected = dtype.itemsize * math.prod(shape)
        if dtype.hasobject or min(shape, default=0) < 0 or expected != entry.file_size - stream.tell():
            described = f"shape {shape} and type {dtype}"
            raise ValueError(f"the array {entry.filename} of {described} does not fit its bytes")
        data = stream.read(expected)
    return np.frombuffer(data, dtype).reshape(shape, order="F" if fortran else "C")


def _header(stream: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    if np.lib.format.read_magic(stream) == (1, 0):
        return np.lib.format.read_array_header_1_0(stream)
    return np.lib.format.read_array_header_2_0(stream)
