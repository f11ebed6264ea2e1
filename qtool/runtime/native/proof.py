"""Where a multiplication, snapped to a grid, is as good as the division that it replaces.

Let ``x = T * scale / divisor`` for an integer T that float64 holds, and ``scale / divisor = P / Q`` in lowest
terms. The kernels take the float64 product p of T with the nearest float64 of P / Q, and snap it to
``s = (p + M) - M``, where ``M = 1.5 * 2**10``. They round s instead of x, in any mode.

Boundaries of a mode are the whole numbers (floor) or the halves between them (ties, in the other modes).
Suppose ``|x| <= 2**8``:

- Two roundings, of the ratio and of the product, leave ``|p - x| <= e = 2**8 * (2 * 2**-53 + 2**-106)``.
- So ``|p| < 2**9``, and ``p + M`` lies in ``[2**10, 2**11)``, where float64 is spaced by ``h = 2**-42``: s is
  the multiple of h nearest to p, and its subtraction is exact. Every boundary is a multiple of h.
- Where x is a boundary, s is the same one, because ``e < h / 2``.
- Where x is none, it differs from each by ``1 / (2 Q)`` or more. With ``Q <= 2**41`` that is h or more, and
  ``|s - x| <= e + h / 2 < h``: s lies on the same side of every boundary as x, and rounds to the same number.

Every operation grows with T, so beyond ``2**8`` both results stay there or further out: the clamp to codes,
which differ from their zero point by 255 or less, makes them equal.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_BITS = 53
_MAX_DENOMINATOR = 2.0**41


def snap_is_exact(scale: NDArray[np.float64], divisor: NDArray[np.float64]) -> bool:
    """Whether codes of 8 bits come out the same from the snapped product as from the exact fraction.

    Args:
        scale: positive, (channels,).
        divisor: positive, (channels,).
    """
    above, exponent_above = _odd(scale)
    below, exponent_below = _odd(divisor)
    greatest = np.ldexp(_MAX_DENOMINATOR, -np.maximum(exponent_below - exponent_above, 0))
    # A fraction in lowest terms has no larger denominator; short scales need no more than that.
    if np.all(below <= greatest):
        return True
    return bool(np.all(below // np.gcd(above, below) <= greatest))


def _odd(values: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Write every value as an odd integer times a power of two."""
    mantissa, exponent = np.frexp(values)
    whole = np.ldexp(mantissa, _BITS).astype(np.int64)
    lowest = whole & -whole
    # The exponent of a power of two, as frexp has it, is one more than its logarithm.
    trailing = np.frexp(lowest.astype(np.float64))[1] - 1
    return whole >> trailing, exponent - _BITS + trailing
