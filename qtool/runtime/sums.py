"""Sums of two tensors (ONNX Add and Sub, opset 14), rounded by the rule of the target."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from math import gcd

import numpy as np

from passes.numerics import Requantizer, RequantRule, exact_requantizer, requantizer, rounding_shift_right
from qtool.runtime.node import Array, Kernel, Node, reach
from qtool.runtime.tiles import tiles

Combine = Callable[[Array, Array], Array]
"""From the codes of two operands, less their zero points, to codes of the sum, or to its real values."""

HEADROOM_BITS, WIDE_HEADROOM_BITS = 20, 15
"""Bits by which operands are raised before gemmlowp's rule rounds them, as TensorFlow Lite does: fewer for 16
bits, so that they stay in 32."""


def add(node: Node) -> Kernel:
    """Build the kernel for ``a + b``."""
    return _sum(node, 1)


def sub(node: Node) -> Kernel:
    """Build the kernel for ``a - b``."""
    return _sum(node, -1)


def _sum(node: Node, sign: int) -> Kernel:
    first, second = node.inputs
    combine = _combine(node, sign)

    def run(a: Array, b: Array) -> Array:
        shape = np.broadcast_shapes(a.shape, b.shape)
        wide_a, wide_b = np.broadcast_to(a, shape), np.broadcast_to(b, shape)
        out = np.empty(shape, node.output.dtype)
        for tile in tiles(shape):
            left = wide_a[tile].astype(np.int64) - first.zero_point
            out[tile] = combine(left, wide_b[tile].astype(np.int64) - second.zero_point)
        return out

    return run


def _combine(node: Node, sign: int) -> Combine:
    scales = np.array([node.inputs[0].scale, node.inputs[1].scale], np.float64)
    if node.output.is_float:
        return lambda a, b: a * scales[0] + b * (sign * scales[1])
    if node.rule is RequantRule.GEMMLOWP:
        return _gemmlowp(node, scales, sign)
    if node.rule is RequantRule.FLOAT:
        return _float(node, scales, sign)
    exact = _exact(node, sign) if node.rule is RequantRule.EXACT else None
    return exact or _fixed_point(node, scales / node.output.scale, sign)


def _exact(node: Node, sign: int) -> Combine | None:
    """Bring both operands to one unit and round once; ``None`` where 53 bits do not suffice."""
    first, second = node.inputs
    unit, whole = common_unit(first.scale, second.scale)
    largest = reach(first) * whole[0] + reach(second) * whole[1]
    exact = exact_requantizer(unit, node.output.scale, largest)
    if exact is None:
        return None

    def combine(a: Array, b: Array) -> Array:
        total = a * whole[0] + b * (sign * whole[1])
        return exact.apply(total, node.output.zero_point, node.lo, node.hi, node.rounding)

    return combine


def common_unit(first: float, second: float) -> tuple[float, tuple[int, int]]:
    """Write two scales as whole multiples of the greatest unit that divides both."""
    a, b = Fraction(float(first)), Fraction(float(second))
    denominator = max(a.denominator, b.denominator)
    whole = int(a * denominator), int(b * denominator)
    common = gcd(*whole)
    return common / denominator, (whole[0] // common, whole[1] // common)


def _fixed_point(node: Node, real: Array, sign: int) -> Combine:
    """Multiply by two integers with one common shift and round once."""
    factors, shift = fixed_point_factors(real, node.rule)

    def combine(a: Array, b: Array) -> Array:
        total = a * factors[0] + b * (sign * factors[1])
        return _clamped(node, rounding_shift_right(total, shift, node.rounding))

    return combine


def fixed_point_factors(real: Array, rule: RequantRule) -> tuple[Array, int]:
    """Two real factors as int64 integers over one power of two; the larger has 31 bits."""
    by_shift = rule is RequantRule.POWER_OF_TWO
    shift = int(requantizer(real.max(), rule=rule if by_shift else RequantRule.FIXED_POINT).shift)
    rounded = np.exp2(np.rint(np.log2(real))) if by_shift else real
    return np.floor(np.ldexp(rounded, shift) + 0.5).astype(np.int64), shift


def _gemmlowp(node: Node, scales: Array, sign: int) -> Combine:
    """Raise both operands, bring each to twice the larger scale, add, and bring the sum to the output's."""
    raised = gemmlowp_headroom(node)
    left, right, result = gemmlowp_requantizers(scales, node.output.scale, raised)

    def combine(a: Array, b: Array) -> Array:
        total = left.scale(a << raised) + sign * right.scale(b << raised)
        return _clamped(node, result.scale(total))

    return combine


def gemmlowp_headroom(node: Node) -> int:
    """Return the bits by which the operands of a sum are raised under gemmlowp's rule."""
    wide = any(info.format.bits > 8 for info in node.inputs)
    return WIDE_HEADROOM_BITS if wide else HEADROOM_BITS


def gemmlowp_requantizers(
    scales: Array, output_scale: float, raised: int = HEADROOM_BITS
) -> tuple[Requantizer, Requantizer, Requantizer]:
    """Requantizers of both operands, once raised by so many bits, and of their sum."""
    twice, rule = 2.0 * scales.max(), RequantRule.GEMMLOWP
    left, right = (requantizer(scale / twice, rule=rule) for scale in scales)
    return left, right, requantizer(twice / (output_scale * 2.0**raised), rule=rule)


def _float(node: Node, scales: Array, sign: int) -> Combine:
    """Add real values and divide by the output's scale, each rounded to float32; round half to even."""
    left, right = scales.astype(np.float32)
    divisor = np.float32(node.output.scale)

    def combine(a: Array, b: Array) -> Array:
        total = a.astype(np.float32) * left + b.astype(np.float32) * (right * np.float32(sign))
        return _clamped(node, np.rint(total / divisor).astype(np.int64))

    return combine


def _clamped(node: Node, codes: Array) -> Array:
    return np.asarray(np.clip(codes + node.output.zero_point, node.lo, node.hi))
