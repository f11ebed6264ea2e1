"""Where one multiplication is as good as the division that it replaces.

Let ``x = T * scale / divisor = T p / q`` in lowest terms. The float64 product of T with the rounded ratio is
off by less than ``2.02 * 2**-53 * |x|``. A fraction that is no tie differs from every tie by ``1 / (2 q)`` or
more, so rounding to nearest agrees wherever the error is smaller than that; codes are clamped, so only
``|x|`` up to the clamp counts. Ties are ``T = (2 j + 1) q / 2``, at ``x = (2 j + 1) p / 2``, and exist for
even q only: they are few, and each is multiplied out here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_BITS = 53
_ERROR = 2.02 * 2.0**-53
_MOST_TIES = 1 << 20


def multiplication_is_exact(
    scale: NDArray[np.float64], divisor: NDArray[np.float64], largest: int, reach: int
) -> bool:
    """Whether ``rint(T * (scale / divisor))`` is the fraction rounded half to even, after the clamp.

    Args:
        scale: positive, (channels,).
        divisor: positive, (channels,).
        largest: bound on the magnitude of T, below 2**53.
        reach: greatest magnitude of a rounded value that the clamp lets through.
    """
    above, exponent_above = _odd(scale)
    below, exponent_below = _odd(divisor)
    common = np.gcd(above, below)
    p, q, twos = above // common, below // common, exponent_below - exponent_above
    bound = float(reach + 1)
    with np.errstate(over="ignore"):
        whole_q = np.ldexp(q.astype(np.float64), np.maximum(twos, 0))
        whole_p = np.ldexp(p.astype(np.float64), np.maximum(-twos, 0))
    if not np.all(bound * _ERROR < 0.5 / whole_q):
        return False
    tied = twos > 0
    return _ties_agree(whole_p[tied], whole_q[tied], (scale / divisor)[tied], min(bound, 2.0**52), largest)


def _odd(values: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Write every value as an odd integer times a power of two."""
    mantissa, exponent = np.frexp(values)
    whole = np.ldexp(mantissa, _BITS).astype(np.int64)
    lowest = whole & -whole
    trailing = np.log2(lowest.astype(np.float64)).astype(np.int64)
    return whole // lowest, exponent - _BITS + trailing


def _ties_agree(
    p: NDArray[np.float64], q: NDArray[np.float64], ratio: NDArray[np.float64], bound: float, largest: int
) -> bool:
    """Whether every tie within reach comes out as the tie itself; negative ones mirror the positive."""
    count = int(np.minimum(bound / p, largest / q).max(initial=0)) + 1
    if count * p.size > _MOST_TIES:
        return False
    odd = 2.0 * np.arange(count)[:, None] + 1
    sums = odd * (q / 2)
    return bool(np.all((sums > largest) | (sums * ratio == odd * (p / 2))))
