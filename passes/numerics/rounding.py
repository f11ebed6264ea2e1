"""Rounding, for floats and for integers that are divided by a power of two."""

from __future__ import annotations

from enum import StrEnum
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from passes.errors import UsageError

MAX_SHIFT = 62
"""Largest right shift in bits: the sign and one bit of an int64 remain."""

FloatT = TypeVar("FloatT", np.float32, np.float64)


class Rounding(StrEnum):
    """What becomes of a number between two integers."""

    HALF_EVEN = "half_even"
    """To the nearest, ties to the even one (IEEE 754 roundTiesToEven; ONNX QuantizeLinear)."""
    HALF_UP = "half_up"
    """To the nearest, ties towards plus infinity: what adding a half and shifting right does."""
    HALF_AWAY = "half_away"
    """To the nearest, ties away from zero (C ``round``)."""
    FLOOR = "floor"
    """Towards minus infinity: a bare right shift."""


def round_float(x: NDArray[FloatT], mode: Rounding) -> NDArray[FloatT]:
    """Round every element to an integer of the same dtype; infinities and NaN stay as they are.

    No half is ever added to ``x``, as that sum may itself be rounded up (0.49999997 in float32).
    """
    if mode is Rounding.HALF_EVEN:
        return np.rint(x)
    if mode is Rounding.FLOOR:
        return np.floor(x)
    if mode is Rounding.HALF_AWAY:
        return np.asarray(np.copysign(_half_up(np.abs(x)), x))
    return _half_up(x)


def rounding_shift_right(
    x: NDArray[np.int64], shift: NDArray[Any] | int, mode: Rounding
) -> NDArray[np.int64]:
    """Divide integers by ``2**shift`` and round, exactly, for every int64.

    Args:
        x: integers of any shape.
        shift: bits, 0..62, broadcast against ``x``.
        mode: the rounding.

    Raises:
        UsageError: a shift is outside 0..62.
    """
    bits = np.asarray(shift, dtype=np.int64)
    if bits.size and (bits.min() < 0 or bits.max() > MAX_SHIFT):
        raise UsageError(
            f"rounding_shift_right: shift must be 0..{MAX_SHIFT} bits, found {bits.min()}..{bits.max()}"
        )
    quotient = np.right_shift(x, bits)
    if mode is Rounding.FLOOR:
        return quotient
    one = np.int64(1)
    remainder = np.bitwise_and(x, (one << bits) - one)
    # A tie goes up exactly where one is added here. The half of shift 0 is taken as 1, out of reach of its
    # remainder, so nothing moves.
    remainder += _tie_goes_up(x, quotient, mode)
    quotient += remainder > (one << np.maximum(bits - one, 0))
    return quotient


def _tie_goes_up(
    x: NDArray[np.int64], quotient: NDArray[np.int64], mode: Rounding
) -> NDArray[np.int64] | int:
    """Return 1 where a tie is rounded towards plus infinity and 0 elsewhere."""
    if mode is Rounding.HALF_EVEN:
        return quotient & np.int64(1)
    if mode is Rounding.HALF_AWAY:
        return (x >= 0).astype(np.int64)
    return 1


def _half_up(x: NDArray[FloatT]) -> NDArray[FloatT]:
    """Round to the nearest, ties up."""
    low = np.floor(x)
    with np.errstate(invalid="ignore"):
        low += x - low >= 0.5
    return low
