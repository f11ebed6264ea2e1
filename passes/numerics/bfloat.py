"""Scales that fit in two bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from passes.errors import UsageError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

_LARGEST = np.uint32(0x7F7F0000).view(np.float32)
_LOW_HALF = np.uint32(0xFFFF)


def round_up_to_bfloat16(scale: ArrayLike) -> NDArray[np.float32]:
    """Return the least bfloat16 value not below each scale, as float32 with 16 low bits of zero.

    Rounding up, by less than 2**-7 of a normal number, never clips a range that the scale covered.

    Args:
        scale: numbers >= 0 of any shape; the shape is kept.

    Raises:
        UsageError: a scale is negative, NaN or above the largest bfloat16 (about 3.39e38).
    """
    values = np.array(scale, dtype=np.float32)
    if not ((values >= 0) & (values <= _LARGEST)).all():
        msg = f"bfloat16: scales must be 0..{_LARGEST}, found {values.min()}..{values.max()}"
        raise UsageError(msg)
    # abs turns -0.0, whose pattern would overflow, into 0.0.
    pattern = np.abs(values).view(np.uint32)
    return ((pattern + _LOW_HALF) & ~_LOW_HALF).view(np.float32)
