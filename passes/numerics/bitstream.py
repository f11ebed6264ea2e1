"""Bit streams: unsigned integers of any width, one after the other, lowest bit first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from passes.errors import ArtifactError, UsageError

if TYPE_CHECKING:
    from numpy.typing import NDArray

_MAX_BITS = 63


def pack_bits(values: NDArray[Any], bits: int) -> NDArray[np.uint8]:
    """Write each value with ``bits`` bits into ``ceil(values.size * bits / 8)`` bytes; unused bits are zero.

    Args:
        values: integers in ``[0, 2**bits)``; taken in C order.
        bits: 1..63.

    Raises:
        UsageError: ``bits`` or a value is out of range.
    """
    _check_bits(bits)
    flat = np.asarray(values).reshape(-1)
    if flat.size and (flat.min() < 0 or int(flat.max()) >> bits):
        raise UsageError(f"pack_bits: values must lie in 0..2**{bits}-1, found {flat.min()}..{flat.max()}")
    octets = flat.astype("<u8").view(np.uint8).reshape(-1, 8)
    single = np.unpackbits(octets, axis=1, count=bits, bitorder="little")
    return np.packbits(single, bitorder="little")


def unpack_bits(data: NDArray[np.uint8], bits: int, count: int) -> NDArray[np.int64]:
    """Read ``count`` values of ``bits`` bits: the inverse of `pack_bits`.

    Raises:
        UsageError: ``bits`` is not in 1..63.
        ArtifactError: the data are longer or shorter than ``count`` values, or unused bits are set.
    """
    _check_bits(bits)
    expected = -(-count * bits // 8)
    if count < 0 or data.size != expected:
        raise ArtifactError(
            f"bit stream: {count} values of {bits} bits need {expected} bytes, found {data.size}"
        )
    single = np.unpackbits(data.reshape(-1), bitorder="little")
    if single[count * bits :].any():
        raise ArtifactError("bit stream: bits behind the last value are set; the data are damaged")
    narrow = np.packbits(single[: count * bits].reshape(count, bits), axis=1, bitorder="little")
    octets = np.zeros((count, 8), dtype=np.uint8)
    octets[:, : narrow.shape[1]] = narrow
    return octets.view("<u8").reshape(count).astype(np.int64)


def _check_bits(bits: int) -> None:
    """Refuse widths whose values an int64 cannot hold."""
    if not 1 <= bits <= _MAX_BITS:
        raise UsageError(f"bit stream: bits must be 1..{_MAX_BITS}, found {bits}")
