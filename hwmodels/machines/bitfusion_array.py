"""What a BitFusion array does with layers: products per cycle, cycles and bits moved."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from hwmodels.arrays import LayerArrays, PairArrays

if TYPE_CHECKING:
    from hwmodels.arrays import Floats

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


def parallel_products(run: PairArrays) -> Floats:
    """Return the products that a fusion unit makes at once: 1 at 8 x 8 bits, 2 at 8 x 4, 16 at 2 x 2."""
    weight, act = (np.maximum(FULL_BITS // bits, 1) for bits in (run.weight, run.act))
    return weight * act


def cycles_per_product(run: PairArrays) -> Floats:
    """Return the cycles that a product takes: twice as many for every side of 16 bits."""
    return np.ceil(run.weight / FULL_BITS) * np.ceil(run.act / FULL_BITS)


def reduction_cycles(layers: LayerArrays, run: PairArrays, rows: int) -> Floats:
    """Return the cycles that one column of ``rows`` units needs for one output element.

    The channels of one kernel position fill the lanes together, of which there are more the narrower the
    operands. An ideal schedule unrolls a layer over the kernel (im2col) wherever its channels alone would
    leave lanes idle: three image channels, for one, fill 3 of 16 at 8 bits. The public simulator does not,
    which is one reason why it gains little below 4 bits.
    """
    lanes = rows * parallel_products(run)
    channels = layers.in_channels / layers.groups
    unrolled = np.ceil(layers.depth / lanes)
    by_position = layers.depth / channels * np.ceil(channels / lanes)
    return np.where(channels < lanes, unrolled, by_position) * cycles_per_product(run)


def compute_cycles(layers: LayerArrays, run: PairArrays, array: Array) -> Floats:
    """Return the cycles of the array, as if operands were always there.

    Depthwise layers have nothing to sum over channels. Their rates, derived from the public table of
    mit-han-lab/apq, are 8, about 16 and 24 to 32 MACs per cycle at 8 x 8, 8 x 4 and 4 x 4 bits. No rate below
    4 bits is known, so a side of 2 bits counts as 4.
    """
    measured = PairArrays(
        np.maximum(run.weight, DEPTHWISE_LEAST_BITS), np.maximum(run.act, DEPTHWISE_LEAST_BITS)
    )
    rate = array.depthwise_macs_per_cycle * parallel_products(measured)
    depthwise = np.ceil(layers.macs * cycles_per_product(measured) / rate)
    tiles = np.ceil(layers.columns / array.columns)
    dense = layers.groups * layers.rows * tiles * reduction_cycles(layers, run, array.rows)
    return np.where(layers.depthwise > 0, depthwise, dense)


def dram_bits(layers: LayerArrays, stored: PairArrays) -> Floats:
    """Return the bits that cross the memory interface when every tensor does so once, at its own width.

    A computed right side is an activation. Biases are left out, as in the published totals.
    """
    return layers.activations * stored.act + layers.weight_count * stored.weight
