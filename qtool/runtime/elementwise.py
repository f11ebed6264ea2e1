"""Products and quotients of two tensors (ONNX Mul and Div, opset 14), and the kernels of sums."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from qtool.runtime.epilogue import Epilogue
from qtool.runtime.node import Array, Kernel, Node, reach
from qtool.runtime.normalization import rounded_quotient
from qtool.runtime.sums import add, sub
from qtool.runtime.tiles import tiles

RATIO_BITS = 40


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


def div(node: Node) -> Kernel:
    """Build the kernel for ``a / b``, rounded half up to a code.

    A divisor of 0 gives the highest code for what is positive, and the lowest for everything else, as
    QuantizeLinear makes them of infinities and NaN in ONNX Runtime.
    The scales are brought to integers ``p / q`` of at most `RATIO_BITS` bits each, exactly for short scales.
    """
    first, second = node.inputs
    if node.output.is_float:
        node.fail("a quotient has no float32 form; put a requantize to float32 behind it")
    ratio = Fraction(first.scale) / (Fraction(second.scale) * Fraction(node.output.scale))
    # What a ratio beyond this range gives is 0 or saturates whatever the codes are.
    exact = min(max(ratio, Fraction(1, 1 << RATIO_BITS)), Fraction(1 << RATIO_BITS))
    exact = exact.limit_denominator(1 << RATIO_BITS)
    if exact.numerator > 1 << RATIO_BITS:
        node.fail(f"the scales {first.scale}, {second.scale} and {node.output.scale} are too far apart")

    def run(a: Array, b: Array) -> Array:
        numerator = (a.astype(np.int64) - first.zero_point) * exact.numerator
        divisor = b.astype(np.int64) - second.zero_point
        denominator = np.where(divisor == 0, 1, divisor) * exact.denominator
        codes = rounded_quotient(numerator * np.sign(denominator), np.abs(denominator))
        codes = np.clip(codes + node.output.zero_point, node.lo, node.hi)
        codes = np.where(divisor == 0, np.where(numerator > 0, node.hi, node.lo), codes)
        return codes.astype(node.output.dtype)

    return run


KERNELS = {"add": add, "sub": sub, "mul": mul, "div": div}
