"""Sums and products of two tensors (ONNX Add, Sub and Mul, opset 14), with one rounding each."""

from __future__ import annotations

from fractions import Fraction
from math import gcd

import numpy as np

from passes.numerics import exact_requantizer, requantizer, rounding_shift_right
from qtool.runtime.epilogue import Epilogue
from qtool.runtime.node import Array, Kernel, Node, reach
from qtool.runtime.tiles import tiles


def add(node: Node) -> Kernel:
    """Build the kernel for ``a + b``."""
    return _sum(node, 1)


def sub(node: Node) -> Kernel:
    """Build the kernel for ``a - b``."""
    return _sum(node, -1)


def _sum(node: Node, sign: int) -> Kernel:
    """Bring both operands to one unit, exactly or with one common shift, and round the sum once."""
    first, second = node.inputs
    scales = np.array([first.scale, second.scale], np.float64)
    unit, whole = _common_unit(first.scale, second.scale)
    largest = reach(first) * whole[0] + reach(second) * whole[1]
    exact = None if node.output.is_float else exact_requantizer(unit, node.output.scale, largest)
    factors, shift = scales, 0
    if exact is not None:
        factors = np.array(whole, np.int64)
    elif not node.output.is_float:
        factors, shift = _common_shift(scales / node.output.scale)
    factors[1] *= sign

    def run(a: Array, b: Array) -> Array:
        shape = np.broadcast_shapes(a.shape, b.shape)
        wide_a, wide_b = np.broadcast_to(a, shape), np.broadcast_to(b, shape)
        out = np.empty(shape, node.output.dtype)
        for tile in tiles(shape):
            total = (wide_a[tile].astype(np.int64) - first.zero_point) * factors[0]
            total += (wide_b[tile].astype(np.int64) - second.zero_point) * factors[1]
            if exact is not None:
                out[tile] = exact.apply(total, node.output.zero_point, node.lo, node.hi, node.rounding)
            else:
                out[tile] = total if node.output.is_float else _codes(node, total, shift)
        return out

    return run


def _common_unit(first: float, second: float) -> tuple[float, tuple[int, int]]:
    """Write two scales as whole multiples of the greatest unit that divides both."""
    a, b = Fraction(float(first)), Fraction(float(second))
    denominator = max(a.denominator, b.denominator)
    whole = int(a * denominator), int(b * denominator)
    common = gcd(*whole)
    return common / denominator, (whole[0] // common, whole[1] // common)


def _common_shift(real: Array) -> tuple[Array, int]:
    """Write two real multipliers as ``integer / 2**shift``, the larger with 31 bits."""
    shift = int(requantizer(real.max()).shift)
    return np.floor(np.ldexp(real, shift) + 0.5).astype(np.int64), shift


def _codes(node: Node, total: Array, shift: int) -> Array:
    codes = rounding_shift_right(total, shift, node.rounding)
    codes += node.output.zero_point
    return np.clip(codes, node.lo, node.hi, out=codes)


def mul(node: Node) -> Kernel:
    """Build the kernel for ``a * b``."""
    first, second = node.inputs
    scale = np.asarray(np.float64(first.scale) * np.float64(second.scale))
    epilogue = Epilogue(node, scale, reach(first) * reach(second))

    def run(a: Array, b: Array) -> Array:
        shape = np.broadcast_shapes(a.shape, b.shape)
        wide_a, wide_b = np.broadcast_to(a, shape), np.broadcast_to(b, shape)
        out = np.empty(shape, node.output.dtype)
        for tile in tiles(shape):
            left = wide_a[tile].astype(np.int64) - first.zero_point
            epilogue.write_tile(left * (wide_b[tile].astype(np.int64) - second.zero_point), out, tile)
        return out

    return run


KERNELS = {"add": add, "sub": sub, "mul": mul}
