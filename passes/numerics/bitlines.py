"""Bit lines: 512 codes of b bits as exactly b lines of 64 bytes, ready to be mapped by a vector kernel.

A slice is 8 tiles of 64 codes. The width is split into powers of two, widest first (7 = 4 + 2 + 1), and each
part is a *plane*: the lowest bits of every code go into the first plane, the next bits into the second. A
plane of width p has p lines; byte lane i of line j holds the codes at lane i of the tiles
``j * (8 / p) + m``, m = 0..8/p-1, at bit ``m * p``. One shift and one mask per plane therefore unpack a whole
tile. 16 bits are two planes of width 8.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from passes.errors import ArtifactError, UsageError
from passes.numerics.formats import SUPPORTED_BITS

if TYPE_CHECKING:
    from numpy.typing import NDArray

TILES = 8
"""Tiles in a slice."""
LANES = 64
"""Codes in a tile, and bytes in a line."""
SLICE_CODES = TILES * LANES
"""Codes in a slice."""


def plane_widths(bits: int) -> tuple[int, ...]:
    """Return the widths of the planes of a code of ``bits`` bits, in storage order.

    Raises:
        UsageError: the width is not 1..8 or 16.
    """
    if bits not in SUPPORTED_BITS:
        raise UsageError(f"bit lines: bits must be one of {SUPPORTED_BITS}, found {bits}")
    return (8, 8) if bits == 16 else tuple(width for width in (8, 4, 2, 1) if bits & width)


def pack_lines(codes: NDArray[Any], bits: int) -> NDArray[np.uint8]:
    """Store codes as bit lines.

    Args:
        codes: uint8 or uint16 in ``[0, 2**bits)``, of shape (slices, 8, 64).
        bits: 1..8 or 16.

    Returns:
        ``slices * bits * 64`` bytes.

    Raises:
        UsageError: the width, the shape or a code is out of range.
    """
    widths = plane_widths(bits)
    if codes.ndim != 3 or codes.shape[1:] != (TILES, LANES) or codes.dtype.kind != "u":
        raise UsageError(f"bit lines: expected unsigned (slices, 8, 64), found {codes.dtype} {codes.shape}")
    if codes.size and int(codes.max()) >> bits:
        raise UsageError(f"bit lines: code {codes.max()} does not fit in {bits} bits")
    lines = np.empty((len(codes), bits, LANES), dtype=np.uint8)
    done = 0
    for width in widths:
        part = ((codes >> done) & ((1 << width) - 1)).astype(np.uint8)
        tiles = part.reshape(-1, width, TILES // width, LANES)
        lines[:, done : done + width] = np.bitwise_or.reduce(tiles << _bit_positions(width), axis=2)
        done += width
    return lines.reshape(-1)


def unpack_lines(data: NDArray[np.uint8], bits: int) -> NDArray[Any]:
    """Read bit lines back: the inverse of `pack_lines`.

    Returns:
        Codes of shape (slices, 8, 64): uint8, or uint16 for 16 bits.

    Raises:
        UsageError: the width is not 1..8 or 16.
        ArtifactError: the data are not whole slices.
    """
    widths = plane_widths(bits)
    if data.size % (bits * LANES):
        raise ArtifactError(
            f"bit lines: expected a multiple of {bits * LANES} bytes for {bits} bits, found {data.size}"
        )
    lines = data.reshape(-1, bits, LANES)
    if widths == (TILES,):
        return lines.copy()
    codes = np.zeros((len(lines), TILES, LANES), dtype=np.uint16 if bits == 16 else np.uint8)
    done = 0
    for width in widths:
        plane = lines[:, done : done + width, np.newaxis, :]
        part = (plane >> _bit_positions(width)) & np.uint8((1 << width) - 1)
        codes |= part.reshape(codes.shape).astype(codes.dtype) << codes.dtype.type(done)
        done += width
    return codes


def _bit_positions(width: int) -> NDArray[np.uint8]:
    """Return where in a byte the codes of 8 / width tiles begin, as a column."""
    return np.arange(0, 8, width, dtype=np.uint8).reshape(-1, 1)
