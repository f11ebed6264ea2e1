"""Softmax and layer normalization (ONNX Softmax, opset 13, LayerNormalization, opset 17) in integers.

Both divide by an integer that is computed from the data, and round once before the output's own rounding.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from qtool.runtime.epilogue import Epilogue
from qtool.runtime.node import Array, Kernel, Node

RECIPROCAL_BITS = 14
"""Fractional bits of the reciprocal of a softmax's output scale."""
MAX_RECIPROCAL = 1 << 36
MAX_CLASSES = 1 << 22
NORM_BITS = 16
"""Fractional bits of a normalized value."""
ROOT_BITS = 62


def integer_softmax(node: Node) -> Kernel:
    """Build the kernel for Softmax along the last axis.

    The table gives ``2**24 * exp(scale * (x - max))``; the quotient of an entry by the sum of all is rounded
    half up to a code. It is within ``1/2 + 2**-25 * codes * classes`` steps of the real softmax of the codes.
    """
    table, output = full_table(node), node.output
    reciprocal = math.floor(2**RECIPROCAL_BITS / output.scale + 0.5)
    if table is None or not 1 <= reciprocal <= MAX_RECIPROCAL:
        node.fail(f"the output's scale {output.scale} leaves the range of the integer division")

    def run(x: Array, mask: Array | None = None) -> Array:
        if x.ndim < 1 or not 1 <= x.shape[-1] <= MAX_CLASSES:
            node.fail(f"expected 1 to {MAX_CLASSES} classes, found an input of shape {x.shape}")
        powers = _powers(x.astype(np.int32), table, mask)
        total = powers.sum(-1, keepdims=True) << RECIPROCAL_BITS
        codes = rounded_quotient(powers * reciprocal, total) + output.zero_point
        return np.clip(codes, node.lo, node.hi).astype(output.dtype)

    return run


def full_table(node: Node) -> NDArray[np.int64] | None:
    """Return the table of a softmax with the zeros that follow it, one entry for every distance of codes."""
    table = node.step.table
    return None if table is None else np.pad(table, (0, (1 << node.inputs[0].format.bits) - len(table)))


def _powers(x: Array, table: NDArray[np.int64], mask: Array | None) -> NDArray[np.int64]:
    """Look up the power of every score below the greatest; hidden ones have none.

    In a row of which all is hidden, all scores are alike, as they are where -3.4e38 takes their place.
    """
    if mask is None:
        return np.asarray(table[x.max(-1, keepdims=True) - x])
    kept = np.broadcast_to(mask.astype(bool), x.shape)
    greatest = np.where(kept, x, np.iinfo(np.int32).min).max(-1, keepdims=True)
    powers = np.where(kept, table[np.where(kept, greatest - x, 0)], 0)
    powers[~kept.any(-1)] = table[0]
    return powers


def layer_norm(node: Node) -> Kernel:
    """Build the kernel for normalization along the last axis, with a gain and a shift per channel.

    The sums of values and of squares are exact, the square root has 30 bits, and the normalized value is
    rounded half up to 16 fractional bits; then comes the one rounding of the output.
    """
    step, info = node.step, node.inputs[0]
    length, centers = step.integer("length"), step.integer("center")
    if step.table is None:
        node.fail("lacks its table")
    gains, shifts = np.split(step.table, 2)
    unit = np.asarray(2.0 ** -(NORM_BITS + step.integer("gain_bits")))
    largest = (math.isqrt(length) + 1 << NORM_BITS) * int(np.abs(gains).max()) + int(np.abs(shifts).max())
    epilogue = Epilogue(node, unit, largest)

    def run(x: Array) -> Array:
        if x.ndim < 1 or x.shape[-1] != length:
            node.fail(f"expected a last axis of {length}, found an input of shape {x.shape}")
        values = x.astype(np.int64) - info.zero_point
        total = values.sum(-1, keepdims=True) * centers
        squares = length * (values * values).sum(-1, keepdims=True) - total * total
        root, shift = _scaled_root(np.maximum(squares + step.integer("epsilon"), 1))
        normal = rounded_quotient((length * values - total) << (shift + NORM_BITS), root)
        return epilogue(normal * gains + shifts)

    return run


def rounded_quotient(numerator: NDArray[np.int64], denominator: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the quotients, rounded to the nearest integer and half up; denominators are positive."""
    return np.asarray((2 * numerator + denominator) // (2 * denominator))


def _scaled_root(values: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return ``floor(sqrt(value) * 2**shift)`` with 30 or 31 bits, and the shifts; values lie in 1..2**62."""
    _, bits = np.frexp(values.astype(np.float64))
    shift = np.maximum(ROOT_BITS - bits.astype(np.int64), 0) // 2
    scaled = values << (2 * shift)
    root = np.sqrt(scaled.astype(np.float64)).astype(np.int64)
    # The square root of the rounded float64 is off by one at the most.
    root -= root * root > scaled
    root += (root + 1) * (root + 1) <= scaled
    return root, shift


KERNELS = {"integer_softmax": integer_softmax, "layer_norm": layer_norm}
