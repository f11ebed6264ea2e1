"""Exact requantization: the rational number itself, rounded once.

Scales of few bits make ``acc * scale / scale_y`` a fraction of small integers. As long as numerator and
denominator fit 53 bits together, float64 division, which rounds correctly, cannot move the quotient onto or
across a rounding boundary: the nearest float64 of a fraction ``T / D`` that is no tie lies on the same side
of every tie, because it differs from a tie by at least ``1 / (2 D)``. So the result is that of integer
division with remainder; float64 serves as a 53-bit integer unit here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from passes.numerics.rounding import Rounding, round_float

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

_BITS = 53
_MARGIN_BITS = 2


@dataclass(frozen=True, slots=True, eq=False)
class ExactRequantizer:
    """Divides accumulators exactly by the scale of the next tensor.

    Attributes:
        scale: real value of one accumulator step, float64; broadcasts against accumulators.
        divisor: scale of the output, times the number of averaged elements where there are several.
    """

    scale: NDArray[np.float64]
    divisor: NDArray[np.float64]

    def apply(
        self, acc: NDArray[Any], zero_point: int, qmin: int, qmax: int, rounding: Rounding
    ) -> NDArray[np.float64]:
        """Return ``clamp(round(acc * scale / divisor) + zero_point, qmin, qmax)`` as integral float64."""
        steps = acc * self.scale
        steps /= self.divisor
        codes = np.asarray(round_float(steps, rounding))
        codes += zero_point
        return np.clip(codes, qmin, qmax, out=codes)


def exact_requantizer(scale: ArrayLike, divisor: ArrayLike, largest: int) -> ExactRequantizer | None:
    """Return the exact requantizer, or ``None`` where 53 bits do not suffice for it.

    Args:
        scale: positive, float64 exactly.
        divisor: positive, float64 exactly.
        largest: bound on the magnitude of the accumulators.
    """
    scales, divisors = np.asarray(scale, np.float64), np.asarray(divisor, np.float64)
    needed = largest.bit_length() + significant_bits(scales) + significant_bits(divisors) + _MARGIN_BITS
    return ExactRequantizer(scales, divisors) if needed <= _BITS else None


def significant_bits(values: NDArray[np.float64]) -> int:
    """Return how many bits the longest significand has, trailing zeros not counted."""
    mantissa, _ = np.frexp(values)
    whole = np.ldexp(mantissa, _BITS).astype(np.int64)
    # The exponent of a power of two, as frexp has it, is one more than its logarithm.
    trailing = np.frexp((whole & -whole).astype(np.float64))[1] - 1
    return int((_BITS - trailing).max(initial=0))
