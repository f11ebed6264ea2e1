"""What moves between DRAM and the buffers of a BitFusion array while the loops over tiles run.

The rules are those of the public simulator; a tensor is any operand, the outputs with their partial sums too.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import permutations
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from hwmodels.arrays import Floats

# Exchanging the two axes of a square changes nothing, which leaves half of all orders.
ORDERS = tuple(
    order
    for order in permutations(("width", "height", "inputs", "outputs"))
    if order.index("width") < order.index("height")
)
"""The loops over tiles in every order that matters, the innermost first."""


@dataclass(frozen=True, slots=True, eq=False)
class Tensor:
    """One operand of a layer that has been cut into tiles.

    Attributes:
        tile_bits: bits of one tile.
        half_bits: bits of half of its buffer.
        indexed: by loop, how many different tiles it goes through, where that may be more than one.
        repeated: by loop, how often it comes back to the same tile, where that may be more than once.
    """

    tile_bits: Floats
    half_bits: float
    indexed: Mapping[str, Floats]
    repeated: Mapping[str, Floats]

    @property
    def fits(self) -> NDArray[np.bool_]:
        """Whether one tile fits into half of the buffer."""
        return self.tile_bits <= self.half_bits

    @property
    def bits(self) -> Floats:
        """Bits of all tiles together."""
        return self.tile_bits * math.prod(self.indexed.values())

    def moved(self, order: tuple[str, ...]) -> tuple[Floats, Floats]:
        """Return the bits that cross the memory interface, and those of the largest part that stays on chip.

        A loop that comes back to the same tiles finds them in the buffer where all that the loops inside it
        go through fits there; else everything inside moves again.

        Args:
            order: one of `ORDERS`.
        """
        inside, kept, fits = self.tile_bits, self.tile_bits, self.fits
        again = np.ones_like(self.tile_bits)
        for loop in order:
            if loop in self.repeated:
                again = again * np.where(fits, 1.0, self.repeated[loop])
            if loop in self.indexed:
                inside = inside * self.indexed[loop]
                fits = inside <= self.half_bits
                kept = np.where(fits, inside, kept)
        return inside * again, kept


@dataclass(frozen=True, slots=True, eq=False)
class Candidates:
    """Layers, each cut in one way at one precision: all arrays broadcast to the same shape.

    Attributes:
        compute_cycles: cycles of the array, as if operands were always there.
        weights: the right operand.
        inputs: the left operand.
        outputs: partial sums, which are read and written.
        bits_per_cycle: of the memory interface.
    """

    compute_cycles: Floats
    weights: Tensor
    inputs: Tensor
    outputs: Tensor
    bits_per_cycle: float

    def least_cycles(self) -> Floats:
        """Return cycles that no order undercuts: every tile moves once, and one of each is waited for."""
        moved = self.weights.bits + self.inputs.bits + 2 * self.outputs.bits
        kept = self.weights.tile_bits + self.inputs.tile_bits + 2 * self.outputs.tile_bits
        return self._cycles(moved, kept)

    def cycles(self) -> Floats:
        """Return the cycles of the fastest order; infinite where a tile does not fit."""
        return functools.reduce(np.minimum, (self._ordered(order) for order in ORDERS))

    def _ordered(self, order: tuple[str, ...]) -> Floats:
        weights, inputs, outputs = (it.moved(order) for it in (self.weights, self.inputs, self.outputs))
        moved = weights[0] + inputs[0] + 2 * outputs[0]
        return self._cycles(moved, weights[1] + inputs[1] + 2 * outputs[1])

    def _cycles(self, moved: Floats, kept: Floats) -> Floats:
        """The first fill of the buffers and the last write are waited for; all else overlaps."""
        waiting = self.compute_cycles + kept / self.bits_per_cycle
        cycles = np.maximum(waiting, moved / self.bits_per_cycle)
        return np.where(self.weights.fits & self.inputs.fits, cycles, np.inf)
