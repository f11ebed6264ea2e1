"""Parses an array in NumPy's file format without trusting its header: nothing in it is run or allocated.

The format: numpy.lib.format, versions 1.0 to 3.0. Only plain numbers are read.
"""

from __future__ import annotations

import ast
import math
from typing import TYPE_CHECKING

import numpy as np

from hwmodels.errors import SpecError

if TYPE_CHECKING:
    from numpy.typing import NDArray

MAGIC = b"\x93NUMPY"
MAX_HEADER_BYTES = 4096
DTYPES = ("|u1", "|i1", "<u2", "<i2", "<u4", "<i4", "<u8", "<i8", "<f4", "<f8")
KEYS = {"descr", "fortran_order", "shape"}


def parse_npy(data: bytes, where: str) -> NDArray[np.float64]:
    """Return the array in a file.

    Args:
        data: the whole file.
        where: machine file and table, for messages.

    Raises:
        SpecError: the file is no array of plain numbers, or its size is not what its header says.
    """
    header, start = _header(data, where)
    if header.keys() != KEYS or header["descr"] not in DTYPES:
        raise SpecError(f"{where}: expected an array of one of {', '.join(DTYPES)}, found {header}"[:300])
    shape, dtype = header["shape"], np.dtype(str(header["descr"]))
    if not isinstance(shape, tuple) or not all(type(size) is int and size >= 0 for size in shape):
        raise SpecError(f"{where}: expected a shape of whole numbers, found {shape!r}"[:300])
    promised, found = math.prod(shape) * dtype.itemsize, len(data) - start
    if promised != found:
        raise SpecError(f"{where}: its header promises {promised} bytes of numbers, found {found}"[:300])
    numbers = np.frombuffer(data, dtype, offset=start).astype(np.float64)
    return numbers.reshape(shape[::-1]).T if header["fortran_order"] is True else numbers.reshape(shape)


def _header(data: bytes, where: str) -> tuple[dict[str, object], int]:
    """Return the header and where the numbers begin; its length has two bytes in version 1 and four later."""
    version = data[len(MAGIC)] if data.startswith(MAGIC) and len(data) > len(MAGIC) + 1 else 0
    first = len(MAGIC) + 2
    start = first + (2 if version == 1 else 4)
    length = int.from_bytes(data[first:start], "little")
    if not 1 <= version <= 3 or length > min(MAX_HEADER_BYTES, len(data) - start):
        raise SpecError(f"{where}: expected a file in NumPy's .npy format, found something else")
    try:
        header = ast.literal_eval(data[start : start + length].decode("utf-8"))
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError) as error:
        raise SpecError(f"{where}: expected a header of literals, found something else") from error
    return (header if isinstance(header, dict) else {}), start + length
