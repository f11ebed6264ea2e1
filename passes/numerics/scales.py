"""Short scales: few significant bits, so that float32 arithmetic on quantized values is exact."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from passes.errors import UsageError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

SIGNIFICANT_BITS = 4
SPARE_BITS = 24 - SIGNIFICANT_BITS
"""Low bits of the float32 pattern that are zero in a short scale."""

_UNIT = np.uint32(1 << SPARE_BITS)
_LEAST, _LARGEST = np.float32(2.0**-120), np.float32(2.0**120)


def short_scale(scale: ArrayLike, *, up: bool, places: int = 1) -> NDArray[np.float32]:
    """Return scales of four significant bits, or fewer.

    A Q/DQ model adds products ``(q_x s_x)(q_w s_w)`` in float32, which rounds, and so differs now and then
    from the integers that it stands for. With two short scales a sum of up to 2**16 accumulator steps is
    exact, and so is its quotient by a third near a rounding boundary: simulation and integer execution then
    agree to the last bit. Such scales also take few bits to store.

    Args:
        scale: positive numbers of any shape; the shape is kept.
        up: round up (by less than 1/8, so that no covered range is clipped) rather than to the nearest.
        places: distance of the scales to choose from: 1 for all eight of an octave, 8 for powers of two.

    Raises:
        UsageError: a scale is not between 2**-120 and 2**120.
    """
    values = np.array(scale, dtype=np.float32)
    if not ((values >= _LEAST) & (values <= _LARGEST)).all():
        raise UsageError(f"short scale: expected {_LEAST}..{_LARGEST}, found {values.min()}..{values.max()}")
    pattern = values.view(np.uint32)
    unit = _UNIT * np.uint32(places)
    extra = unit - np.uint32(1) if up else unit >> np.uint32(1)
    return ((pattern + extra) & ~(unit - np.uint32(1))).view(np.float32)


def shorter_scale(scale: NDArray[np.float32], steps: int) -> NDArray[np.float32]:
    """Return the short scale that lies `steps` places below each short scale; there are 8 to an octave."""
    return (scale.view(np.int32) - np.int32(steps) * np.int32(_UNIT)).view(np.float32)
