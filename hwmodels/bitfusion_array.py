"""What a BitFusion array does with one layer: products per cycle, cycles and bits moved."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hwmodels.types import Precision

if TYPE_CHECKING:
    from hwmodels.workload import Workload

FULL_BITS = 8
DEPTHWISE_LEAST_BITS = 4


@dataclass(frozen=True, slots=True)
class Array:
    """Table ``[array]``: ``rows`` of fusion units along the reduction, ``columns`` along the output channels.

    ``depthwise_macs_per_cycle`` is what the whole array reaches on a depthwise layer at 8 x 8 bits.
    """

    rows: int
    columns: int
    clock_hz: float
    dram_bits_per_cycle: float
    depthwise_macs_per_cycle: float
    source: str


def parallel_products(pair: Precision) -> int:
    """Return the products that a fusion unit makes at once: 1 at 8 x 8 bits, 2 at 8 x 4, 16 at 2 x 2."""
    return max(FULL_BITS // pair.weight_bits, 1) * max(FULL_BITS // pair.act_bits, 1)


def cycles_per_product(pair: Precision) -> int:
    """Return the cycles that a product takes: twice as many for every side of 16 bits."""
    return math.ceil(pair.weight_bits / FULL_BITS) * math.ceil(pair.act_bits / FULL_BITS)


def reduction_cycles(work: Workload, pair: Precision, rows: int) -> int:
    """Return the cycles that one column of ``rows`` units needs for one output element.

    The channels of one kernel position fill the lanes together, of which there are more the narrower the
    operands. An ideal schedule unrolls a layer over the kernel (im2col) wherever its channels alone would
    leave lanes idle: three image channels, for one, fill 3 of 16 at 8 bits. The public simulator does not,
    which is one reason why it gains little below 4 bits.
    """
    lanes = rows * parallel_products(pair)
    channels = work.in_channels // work.groups
    if channels < lanes:
        passes = math.ceil(work.depth / lanes)
    else:
        passes = work.depth // channels * math.ceil(channels / lanes)
    return passes * cycles_per_product(pair)


def compute_cycles(work: Workload, pair: Precision, array: Array) -> int:
    """Return the cycles of the array for one layer, as if operands were always there.

    Depthwise layers have nothing to sum over channels. Their rates, derived from the public table of
    mit-han-lab/apq, are 8, about 16 and 24 to 32 MACs per cycle at 8 x 8, 8 x 4 and 4 x 4 bits. No rate below
    4 bits is known, so a side of 2 bits counts as 4.
    """
    if work.depthwise:
        measured = Precision(*(max(bits, DEPTHWISE_LEAST_BITS) for bits in (pair.weight_bits, pair.act_bits)))
        rate = array.depthwise_macs_per_cycle * parallel_products(measured)
        return math.ceil(work.macs * cycles_per_product(measured) / rate)
    tiles = math.ceil(work.columns / array.columns)
    return work.groups * work.rows * tiles * reduction_cycles(work, pair, array.rows)


def dram_bits(work: Workload, precision: Precision) -> int:
    """Return the bits that cross the memory interface when every tensor does so once, at its own width.

    A computed right side is an activation. Biases are left out, as in the published totals.
    """
    activations = work.in_elements + work.rhs_elements + work.out_elements
    return activations * precision.act_bits + work.weight_count * precision.weight_bits
