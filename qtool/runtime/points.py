"""Weights with points for kernels that have none: the same sums from one row for each channel."""

from __future__ import annotations

from dataclasses import replace

from passes.artifact import PackedWeight, Step
from passes.artifact.points import SUM_BITS
from passes.numerics import IntFormat


def combined(step: Step) -> Step:
    """Return the step with the points of every channel added up, in 16 bits; others as they are.

    A processor multiplies bytes and words, not 3 or 4 bits: there the sum of a few rows of low bits times
    their multipliers costs no more than one of the rows. Integers have no rounding, so that results are the
    same; `Points.check` has made sure that 16 bits hold what the rows add up to.
    """
    weight = step.weight
    if weight is None or weight.points is None:
        return step
    codes = weight.points.combine(weight.unpack(), weight.row_axis)
    narrow = int(codes.min()) >= -128 and int(codes.max()) <= 127
    packed = PackedWeight.pack(
        codes,
        name=weight.name,
        layout=weight.layout,
        fmt=IntFormat(8 if narrow else SUM_BITS, signed=True),
        scale=weight.scale,
        zero_point=weight.zero_point,
    )
    return replace(step, weight=packed)
