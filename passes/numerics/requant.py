"""Requantization: bring an accumulator to the scale of the next tensor, by the rule of the target.

A real multiplier ``M = scale_x * scale_w / scale_y`` becomes ``multiplier / 2**shift`` with both integers.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import numpy as np

from passes.errors import InputError, UsageError
from passes.numerics.rounding import MAX_SHIFT, Rounding, rounding_shift_right

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

_MANTISSA_BITS = 31
_INT32_MIN, _INT32_MAX = -(2**31), 2**31 - 1


class RequantRule(StrEnum):
    """How a target multiplies an accumulator by a real number."""

    EXACT = "exact"
    """The fraction itself, rounded once, where 53 bits hold it; FIXED_POINT elsewhere."""
    FIXED_POINT = "fixed_point"
    """One exact int64 product, one rounding shift."""
    GEMMLOWP = "gemmlowp"
    """Two roundings, as in gemmlowp's fixedpoint.h and the integer kernels of TensorFlow Lite."""
    POWER_OF_TWO = "power_of_two"
    """The multiplier is rounded to a power of two: one rounding shift."""
    FLOAT = "float"
    """Multiply in float32 and round half to even, as ONNX Runtime does."""


def rule_of_sums(rule: RequantRule, largest: int) -> RequantRule:
    """Return the rule for sums of a magnitude: GEMMLOWP is for 32 bits, and wider ones are rounded once.

    Saturated to int32, as GEMMLOWP begins, the sums of a normalization would say nothing.

    Args:
        rule: of the target.
        largest: bound on the magnitude of a sum.
    """
    return RequantRule.FIXED_POINT if rule is RequantRule.GEMMLOWP and largest > _INT32_MAX else rule


@dataclass(frozen=True, slots=True, eq=False)
class Requantizer:
    """Real multipliers in the form a target applies them; made by `requantizer`.

    Attributes:
        multiplier: int64, of the shape given to `requantizer`; float32 under FLOAT.
        shift: int64, bits, 0..62, of the same shape; zero under FLOAT.
        rule: the rule that reads them.
    """

    multiplier: NDArray[Any]
    shift: NDArray[np.int64]
    rule: RequantRule = RequantRule.FIXED_POINT

    def apply(
        self,
        acc: NDArray[Any],
        zero_point: ArrayLike,
        qmin: int,
        qmax: int,
        rounding: Rounding = Rounding.HALF_EVEN,
    ) -> NDArray[np.int32]:
        """Return ``clamp(round(acc * M) + zero_point, qmin, qmax)``.

        Args:
            acc: integers within the ``acc_bits`` given to `requantizer`; ``multiplier`` broadcasts against
                them. GEMMLOWP saturates them to int32 first.
            zero_point: of the output, broadcast against ``acc``.
            qmin: lowest code, after a fused clamp if there is one.
            qmax: highest code.
            rounding: for FIXED_POINT and POWER_OF_TWO; the other rules bring their own.
        """
        scaled = self.scale(acc, rounding)
        if scaled.dtype.kind == "f":
            # Far outside int64 the cast would wrap; the codes lie within 2**17 of zero anyway.
            scaled = np.clip(scaled, -(2.0**62), 2.0**62).astype(np.int64)
        # A rank of zero would have left a scalar, which holds no result of clip.
        codes = np.asarray(scaled + np.asarray(zero_point, dtype=np.int64))
        return np.clip(codes, qmin, qmax, out=codes).astype(np.int32)

    def scale(self, acc: NDArray[Any], rounding: Rounding = Rounding.HALF_EVEN) -> NDArray[Any]:
        """Return ``round(acc * M)``: int64, or float32 with integral values under FLOAT."""
        if self.rule is RequantRule.FLOAT:
            return np.asarray(np.rint(acc.astype(np.float32) * self.multiplier))
        if self.rule is RequantRule.GEMMLOWP:
            return self._two_roundings(acc)
        product = np.multiply(acc, self.multiplier, dtype=np.int64)
        return np.asarray(rounding_shift_right(product, self.shift, rounding))

    def _two_roundings(self, acc: NDArray[Any]) -> NDArray[np.int64]:
        """Apply gemmlowp's doubling high multiplication (ties up), then its rounding division (ties away)."""
        exponent = _MANTISSA_BITS - self.shift
        left = np.left_shift(acc.astype(np.int64), np.maximum(exponent, 0))
        left = np.clip(left, _INT32_MIN, _INT32_MAX)
        high = rounding_shift_right(left * self.multiplier, _MANTISSA_BITS, Rounding.HALF_UP)
        return np.asarray(rounding_shift_right(high, np.maximum(-exponent, 0), Rounding.HALF_AWAY))


def real_multiplier(
    scale: ArrayLike, output_scale: float, count: ArrayLike = 1.0, rule: RequantRule = RequantRule.FIXED_POINT
) -> NDArray[np.float64]:
    """Return ``scale / (count * output_scale)``, of the shape to which the arguments broadcast.

    Under FLOAT every operation is rounded to float32, in the order of ONNX Runtime's QLinearConv,
    QLinearMatMul and QLinearGlobalAveragePool, whose multipliers it thus gives to the last bit.

    Args:
        scale: real value of one unit of the sums, a product of float32 scales; float64.
        output_scale: of the output.
        count: number of elements that a sum is the mean of.
        rule: the rule that will read it.
    """
    if rule is not RequantRule.FLOAT:
        return np.asarray(np.asarray(scale, np.float64) / np.asarray(count, np.float64) / output_scale)
    divisor = np.asarray(count, np.float32) * np.float32(output_scale)
    return np.asarray(np.asarray(scale, np.float32) / divisor, np.float64)


def requantizer(
    real_multiplier: ArrayLike, acc_bits: int = 32, rule: RequantRule = RequantRule.FIXED_POINT
) -> Requantizer:
    """Bring real multipliers into the form of a rule.

    Args:
        real_multiplier: ``M`` as float64, positive, below half of ``2**mantissa_bits``; any shape.
        acc_bits: width of the signed accumulator, 2..62. The mantissa has ``min(31, 63 - acc_bits)`` bits,
            so that no product exceeds ``2**62``.
        rule: the rule of the target. GEMMLOWP always has 31 bits, for int32 accumulators.

    Raises:
        UsageError: ``acc_bits`` is out of range.
        InputError: a multiplier is out of range, which means that scales do not belong together.
    """
    if not 2 <= acc_bits <= 62:
        raise UsageError(f"requantizer: acc_bits must be 2..62, found {acc_bits}")
    real = np.asarray(real_multiplier, dtype=np.float64)
    bits = _MANTISSA_BITS if rule is RequantRule.GEMMLOWP else min(_MANTISSA_BITS, 63 - acc_bits)
    limit = 2.0 ** (bits - 1)
    if not ((real > 0) & (real < limit)).all():
        found = f"{real.min():g}..{real.max():g}"
        raise InputError(
            f"requantizer: multipliers must lie in (0, {limit:g}), found {found}; the scales do not fit"
        )
    if rule is RequantRule.FLOAT:
        return Requantizer(real.astype(np.float32), np.zeros(real.shape, dtype=np.int64), rule)
    if rule is RequantRule.POWER_OF_TWO:
        real = np.exp2(np.rint(np.log2(real)))
    return Requantizer(*_fixed_point(real, bits), rule)


def _fixed_point(real: NDArray[np.float64], bits: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Split into integers ``multiplier / 2**shift`` with ``bits`` significant bits where the shift allows."""
    _, exponent = np.frexp(real)
    shift = np.minimum(bits - exponent.astype(np.int64), MAX_SHIFT)
    multiplier = np.floor(np.ldexp(real, shift) + 0.5).astype(np.int64)
    carried = multiplier == 1 << bits
    return np.where(carried, multiplier >> 1, multiplier), shift - carried
