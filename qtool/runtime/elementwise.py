"""Sums and products of two tensors (ONNX Add, Sub and Mul, opset 14), with one rounding each."""

from __future__ import annotations

import numpy as np

from passes.numerics import requantizer, rounding_shift_right
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
    """Both operands are scaled by integers with one common shift, so the sum is rounded only once."""
    first, second = node.inputs
    scales = np.array([first.scale, second.scale], np.float64)
    factors, shift = (scales, 0) if node.output.is_float else _common_shift(scales / node.output.scale)
    factors[1] *= sign

    def run(a: Array, b: Array) -> Array:
        shape = np.broadcast_shapes(a.shape, b.shape)
        wide_a, wide_b = np.broadcast_to(a, shape), np.broadcast_to(b, shape)
        out = np.empty(shape, node.output.dtype)
        for tile in tiles(shape):
            total = (wide_a[tile].astype(np.int64) - first.zero_point) * factors[0]
            total += (wide_b[tile].astype(np.int64) - second.zero_point) * factors[1]
            out[tile] = total if node.output.is_float else _codes(node, total, shift)
        return out

    return run


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
