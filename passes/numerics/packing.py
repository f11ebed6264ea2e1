"""Packed weights: the order in which codes enter the bit lines, and the bytes of a whole weight.

GEMM order serves a matrix (n, k): a slice is 16 columns n by 32 k, its tile t holds k = 4t..4t+3, and the
byte in a tile is ``column * 4 + k % 4``, which is the operand of a 4-way dot-product instruction. Slices run
over k first, then over blocks of 16 columns. FLAT order serves everything else: 512 consecutive codes to a
slice. Signed codes are stored as ``q - qmin``.
"""

from __future__ import annotations

from enum import StrEnum
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from passes.errors import ArtifactError, UsageError
from passes.numerics.bitlines import LANES, SLICE_CODES, TILES, pack_lines, plane_widths, unpack_lines

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from passes.numerics.formats import IntFormat

COLUMNS = 16
"""Columns n in a GEMM slice."""
DEPTH = 32
"""Rows k in a GEMM slice."""
_DOT = DEPTH // TILES


class Layout(StrEnum):
    """The order of codes in packed data."""

    GEMM = "gemm"
    FLAT = "flat"


def tile_gemm(codes: NDArray[Any], pad: int = 0) -> NDArray[Any]:
    """Cut a matrix of codes (n, k) into slices (slices, 8, 64), filled up with the code ``pad``.

    Raises:
        UsageError: the codes are not a matrix.
    """
    if codes.ndim != 2:
        raise UsageError(f"GEMM layout: expected codes of shape (n, k), found {codes.shape}")
    n, k = codes.shape
    filled = np.pad(codes, ((0, -n % COLUMNS), (0, -k % DEPTH)), constant_values=pad)
    blocks = filled.reshape(filled.shape[0] // COLUMNS, COLUMNS, filled.shape[1] // DEPTH, TILES, _DOT)
    return np.ascontiguousarray(blocks.transpose(0, 2, 3, 1, 4)).reshape(-1, TILES, LANES)


def untile_gemm(tiles: NDArray[Any], n: int, k: int) -> NDArray[Any]:
    """Put slices (slices, 8, 64) back into a matrix (n, k): the inverse of `tile_gemm`.

    Raises:
        ArtifactError: the number of slices is not that of an (n, k) matrix.
    """
    rows, cols = -(-n // COLUMNS), -(-k // DEPTH)
    _check_slices(tiles, rows * cols, f"({n}, {k})")
    blocks = tiles.reshape(rows, cols, TILES, COLUMNS, _DOT).transpose(0, 3, 1, 2, 4)
    return np.ascontiguousarray(blocks.reshape(rows * COLUMNS, cols * DEPTH)[:n, :k])


def tile_flat(codes: NDArray[Any], pad: int = 0) -> NDArray[Any]:
    """Cut codes, in C order, into slices (slices, 8, 64), filled up with the code ``pad``."""
    flat = codes.reshape(-1)
    return np.pad(flat, (0, -flat.size % SLICE_CODES), constant_values=pad).reshape(-1, TILES, LANES)


def untile_flat(tiles: NDArray[Any], count: int) -> NDArray[Any]:
    """Return the first ``count`` codes of slices (slices, 8, 64): the inverse of `tile_flat`.

    Raises:
        ArtifactError: the number of slices is not that of ``count`` codes.
    """
    _check_slices(tiles, -(-count // SLICE_CODES), str(count))
    return tiles.reshape(-1)[:count]


def pack_gemm(q: NDArray[Any], fmt: IntFormat) -> NDArray[np.uint8]:
    """Pack a weight matrix (n, k) of quantized values into bytes; padding stands for the value 0.

    Raises:
        UsageError: ``q`` is not a matrix or a value is outside the format.
    """
    return pack_lines(tile_gemm(_encode(q, fmt), pad=-fmt.qmin), fmt.bits)


def unpack_gemm(data: NDArray[np.uint8], fmt: IntFormat, n: int, k: int) -> NDArray[Any]:
    """Return the quantized values (n, k), of ``fmt.dtype``: the inverse of `pack_gemm`.

    Raises:
        ArtifactError: the data are not those of such a matrix.
    """
    _check_length(data, packed_size(Layout.GEMM, (n, k), fmt.bits), f"({n}, {k}) {fmt}")
    return _decode(untile_gemm(unpack_lines(data, fmt.bits), n, k), fmt)


def pack_flat(q: NDArray[Any], fmt: IntFormat) -> NDArray[np.uint8]:
    """Pack quantized values of any shape, in C order, into bytes; padding stands for the value 0.

    Raises:
        UsageError: a value is outside the format.
    """
    return pack_lines(tile_flat(_encode(q, fmt), pad=-fmt.qmin), fmt.bits)


def unpack_flat(data: NDArray[np.uint8], fmt: IntFormat, count: int) -> NDArray[Any]:
    """Return ``count`` quantized values, of ``fmt.dtype``: the inverse of `pack_flat`.

    Raises:
        ArtifactError: the data are not those of ``count`` values.
    """
    _check_length(data, packed_size(Layout.FLAT, (count,), fmt.bits), f"{count} x {fmt}")
    return _decode(untile_flat(unpack_lines(data, fmt.bits), count), fmt)


def packed_size(layout: Layout, shape: tuple[int, ...], bits: int) -> int:
    """Return the bytes that a weight takes when packed, padding included.

    Args:
        layout: the order of the codes.
        shape: (n, k) for GEMM, any shape for FLAT.
        bits: 1..8 or 16.

    Raises:
        UsageError: the width is not supported, or the shape does not fit the layout.
    """
    plane_widths(bits)
    if layout is Layout.FLAT:
        slices = -(-prod(shape) // SLICE_CODES)
    elif len(shape) == 2:
        slices = -(-shape[0] // COLUMNS) * -(-shape[1] // DEPTH)
    else:
        raise UsageError(f"GEMM layout: expected a shape (n, k), found {shape}")
    return slices * bits * LANES


def _encode(q: NDArray[Any], fmt: IntFormat) -> NDArray[Any]:
    """Turn quantized values into unsigned codes."""
    if q.size and (q.min() < fmt.qmin or q.max() > fmt.qmax):
        raise UsageError(f"packing: {fmt} holds {fmt.qmin}..{fmt.qmax}, found {q.min()}..{q.max()}")
    return (q.astype(np.int32) - fmt.qmin).astype(np.uint16 if fmt.bits == 16 else np.uint8)


def _decode(codes: NDArray[Any], fmt: IntFormat) -> NDArray[Any]:
    """Turn unsigned codes into quantized values."""
    if codes.size and int(codes.max()) >= fmt.levels:
        raise ArtifactError(f"packed weights: code {codes.max()} is outside {fmt}; the data are damaged")
    return (codes.astype(np.int32) + fmt.qmin).astype(fmt.dtype)


def _check_length(data: NDArray[np.uint8], expected: int, what: str) -> None:
    """Refuse data that are longer or shorter than their shape says."""
    if data.size != expected:
        raise ArtifactError(f"packed weights: {what} needs {expected} bytes, found {data.size}")


def _check_slices(tiles: NDArray[Any], expected: int, what: str) -> None:
    """Refuse a wrong number of slices."""
    if tiles.shape != (expected, TILES, LANES):
        raise ArtifactError(
            f"packed weights: {what} codes need shape {(expected, TILES, LANES)}, found {tiles.shape}"
        )
