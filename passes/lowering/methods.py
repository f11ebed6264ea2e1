"""Operators with a method of their own on integers: normalizations, and arithmetic with constants."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import onnx_graphsurgeon as gs

from passes.artifact.ops import MAX_NORMALIZED
from passes.errors import LoweringError
from passes.numerics import short_scale

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from passes.artifact import Attr
    from passes.ir.plan import TensorQuant

SOFTMAX_BITS = 24
GAIN_BITS = 22
"""Of the largest gain: smoothing makes some a thousand times as large as others, and all have one unit."""
SHIFT_BITS = 46
"""Of the largest shift, in units of ``2**-(16 + gain_bits)``."""
NORM_BITS = 16
CONSTANT_BITS = 16
"""Width in which the codes of a constant operand are stored."""
_LARGEST_CONSTANT = (1 << 14) - 1
"""Largest of them: its product with any difference of 16-bit codes fits 32 bits."""
DEFAULT_EPSILON = 1e-5
"""Of LayerNormalization and RMSNormalization."""

Method = tuple[str, dict[str, "Attr"], "NDArray[np.int64]"]
"""Operation, attributes and table of a step."""


def method_step(node: gs.Node, source: TensorQuant) -> Method:
    """Return the step of a Softmax or of a normalization along the last axis.

    Args:
        node: Softmax (opset 13), LayerNormalization (17) or RMSNormalization (23).
        source: quantization of its input.

    Raises:
        LoweringError: numbers that integers of 63 bits do not hold.
    """
    scale = float(source.params.scale)  # type: ignore[union-attr]
    if node.op == "Softmax":
        return "integer_softmax", {}, softmax_table(scale, source.spec.format.bits)
    return _normalization(node, scale)


def softmax_table(scale: float, bits: int) -> NDArray[np.int64]:
    """Return ``2**24 * exp(-d * scale)``, rounded, for d of 0 to 2**bits - 1 or to the first that is 0."""
    steps = np.arange(1 << bits, dtype=np.float64)
    powers = np.rint(np.ldexp(np.exp(-steps * scale), SOFTMAX_BITS)).astype(np.int64)
    return powers[: np.count_nonzero(powers) + 1]


def _normalization(node: gs.Node, scale: float) -> Method:
    gain = np.asarray(node.inputs[1].values, dtype=np.float64).reshape(-1)
    has_shift = len(node.inputs) > 2 and isinstance(node.inputs[2], gs.Constant)
    shift = np.asarray(node.inputs[2].values, np.float64).reshape(-1) if has_shift else np.zeros_like(gain)
    largest = float(np.abs(gain).max())
    if gain.size > MAX_NORMALIZED or not (np.isfinite(largest) and np.isfinite(shift).all()):
        raise LoweringError(
            f"node {node.name} ({node.op}): {gain.size} channels up to {largest} are too many"
        )
    gain_bits = _gain_bits(largest, float(np.abs(shift).max()))
    epsilon = float(node.attrs.get("epsilon", DEFAULT_EPSILON)) * (gain.size / scale) ** 2
    codes = np.rint(np.ldexp(gain, gain_bits)), np.rint(np.ldexp(shift, NORM_BITS + gain_bits))
    if (
        np.abs(codes[0]).max() > 1 << GAIN_BITS
        or np.abs(codes[1]).max() >= 1 << SHIFT_BITS
        or epsilon >= 1 << 60
    ):
        raise LoweringError(f"node {node.name} ({node.op}): its gain, shift or epsilon do not fit its input")
    attrs: dict[str, Attr] = {
        "length": gain.size,
        "center": int(node.op == "LayerNormalization"),
        "gain_bits": gain_bits,
        "epsilon": round(epsilon),
    }
    return "layer_norm", attrs, np.concatenate(codes).astype(np.int64)


def _gain_bits(gain: float, shift: float) -> int:
    """Return the fractional bits of gains that leave room for the largest gain and for the largest shift."""
    if not gain:
        return 0
    for_shift = SHIFT_BITS - NORM_BITS - math.frexp(shift)[1] if shift else 62 - NORM_BITS
    return max(min(GAIN_BITS - math.frexp(gain)[1], for_shift, 62 - NORM_BITS), 0)


def constant_codes(values: NDArray[np.float32]) -> tuple[NDArray[np.int64], float]:
    """Return the codes of a constant operand, 15 bits and symmetric, and their short scale.

    Raises:
        LoweringError: a value is not finite.
    """
    largest = float(np.abs(values).max(initial=0.0))
    if not math.isfinite(largest):
        raise LoweringError("a constant operand is not finite")
    scale = float(short_scale(max(largest / _LARGEST_CONSTANT, 2.0**-100), up=True))
    return np.rint(values.astype(np.float64) / scale).astype(np.int64), scale
