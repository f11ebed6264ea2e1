"""Prepares the constants of requantization for the native kernels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from passes.numerics import (
    Requantizer,
    RequantRule,
    exact_requantizer,
    real_multiplier,
    requantizer,
    rule_of_sums,
)
from qtool.runtime.epilogue import LEAST_ACC_BITS
from qtool.runtime.native.codes import code_bytes, stored_zero
from qtool.runtime.native.proof import snap_is_exact

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from qtool.runtime.native._kernels import Epilogue
    from qtool.runtime.node import Node

ACC_BITS = 32
WIDE_BITS = 54
"""Bits of the sums that float64 carries, with their sign."""
_NAMES = {
    RequantRule.EXACT: "fixed_point",
    RequantRule.FIXED_POINT: "fixed_point",
    RequantRule.POWER_OF_TWO: "fixed_point",
    RequantRule.GEMMLOWP: "gemmlowp",
    RequantRule.FLOAT: "float",
}


@dataclass(frozen=True, slots=True, eq=False)
class Constants:
    """What one rule needs, of one value for each channel.

    Attributes:
        rule: name of the rule in the kernels.
        factor: float64.
        divisor: float64.
        multiplier: int32.
        shift: int32.
    """

    rule: str
    factor: NDArray[np.float64]
    divisor: NDArray[np.float64]
    multiplier: NDArray[np.int32]
    shift: NDArray[np.int32]


def prepare_epilogue(
    node: Node,
    scale: NDArray[np.float64],
    largest: int,
    count: int = 1,
    counts: Sequence[int] = (1,),
    bits: int = ACC_BITS,
) -> Epilogue:
    """Return the epilogue that agrees with `qtool.runtime.epilogue.Epilogue` for every sum.

    Args:
        node: the step, for its output, rule and rounding.
        scale: real value of one unit of the sums, (channels,).
        largest: bound on the magnitude of a sum with its bias.
        count: number of elements that a sum is the mean of.
        counts: every count of the step: the rule EXACT holds for all of them or for none.
        bits: of the sums that the kernel makes, `ACC_BITS` or `WIDE_BITS`.

    Raises:
        ArtifactError: sums do not fit.
        InputError: scales do not belong together.
    """
    from qtool.runtime.native._kernels import Epilogue

    if largest.bit_length() >= bits:
        node.fail(f"sums reach {largest}; this native kernel adds in {bits} bits, the reference engine in 53")
    constants = _constants(node, np.ascontiguousarray(scale, np.float64), largest, count, counts)
    lowest = 0 if node.output.is_float else node.output.qmin
    return Epilogue(
        constants.rule,
        str(node.rounding),
        constants.factor,
        constants.divisor,
        constants.multiplier,
        constants.shift,
        0 if node.output.is_float else stored_zero(node.output),
        0 if node.output.is_float else node.lo - lowest,
        255 if node.output.is_float else node.hi - lowest,
        largest,
        code_bytes(node.output),
    )


def _constants(
    node: Node, scale: NDArray[np.float64], largest: int, count: int, counts: Sequence[int]
) -> Constants:
    ones, zeros = np.ones(len(scale)), np.zeros(len(scale), np.int32)
    if node.output.is_float:
        return Constants("real", scale / count, ones, zeros, zeros)
    if node.rule is RequantRule.EXACT:
        divisors = node.output.scale * np.asarray(counts, np.float64)
        if exact_requantizer(scale, divisors, largest) is not None:
            return _exact(node, scale, np.full(len(scale), node.output.scale * np.float64(count)))
    rule = rule_of_sums(node.rule, largest)
    real = real_multiplier(scale, node.output.scale, count, rule)
    made = requantizer(real, max(LEAST_ACC_BITS, largest.bit_length() + 1), rule)
    if made.rule is RequantRule.FLOAT:
        return Constants("float", made.multiplier.astype(np.float64), ones, zeros, zeros)
    return _fixed_point(made, ones)


def _exact(node: Node, scale: NDArray[np.float64], divisor: NDArray[np.float64]) -> Constants:
    zeros = np.zeros(len(scale), np.int32)
    if code_bytes(node.output) == 1 and snap_is_exact(scale, divisor[:1]):
        return Constants("snap", scale / divisor, np.ones(len(scale)), zeros, zeros)
    return Constants("divide", scale, divisor, zeros, zeros)


def _fixed_point(made: Requantizer, ones: NDArray[np.float64]) -> Constants:
    multiplier, shift = made.multiplier.astype(np.int32), made.shift.astype(np.int32)
    return Constants(_NAMES[made.rule], ones, ones, multiplier, shift)
