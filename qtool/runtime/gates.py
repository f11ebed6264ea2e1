"""What gates of a recurrent step are made of: products in fixed point, sigmoid and tanh by a table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from passes.artifact.recurrent import ENTRIES_PER_ONE, TABLE_BITS, TABLE_LENGTH, UNIT_BITS
from passes.numerics import Requantizer, Rounding, requantizer, rounding_shift_right
from qtool.runtime.epilogue import LEAST_ACC_BITS, MAX_SUM
from qtool.runtime.exact import ExactProduct
from qtool.runtime.node import Array, Node

if TYPE_CHECKING:
    from passes.artifact import PackedWeight

Integers = NDArray[np.int64]

PRODUCT_LIMIT = 1 << 30
"""Magnitude at which a product saturates, in units of 2**-15."""
_STEP_BITS = UNIT_BITS + 1 - ENTRIES_PER_ONE.bit_length()
"""Bits of a pre-activation between two entries of the table."""
_RAW_BITS = TABLE_BITS + _STEP_BITS


@dataclass(frozen=True, slots=True, eq=False)
class Projection:
    """``rows @ matrix`` in units of 2**-15.

    Attributes:
        matrix: (depth, outputs), codes less their zero points, in the type of `product`.
        product: how it is multiplied exactly.
        scaler: brings the sums of each output to units of 2**-15.
    """

    matrix: Array
    product: ExactProduct
    scaler: Requantizer

    @classmethod
    def of(cls, node: Node, weight: PackedWeight, scale: float, peak: int) -> Projection:
        """Unpack a weight.

        Args:
            node: the step, for messages.
            weight: a matrix (outputs, depth).
            scale: real value of one code of the rows.
            peak: greatest magnitude of such a code.

        Raises:
            ArtifactError: sums could leave the range in which this runtime is exact.
            InputError: scales do not belong together.
        """
        rows, depth = weight.shape
        zeros = np.broadcast_to(weight.zero_point, rows)[:, None].astype(np.int32)
        matrix = weight.unpack_stored().astype(np.int32) - zeros
        magnitude = np.abs(matrix)
        largest = int(magnitude.sum(1, dtype=np.int64).max()) * peak
        if largest >= MAX_SUM:
            node.fail(f"sums reach {largest}; this runtime is exact below {MAX_SUM} only")
        product = ExactProduct.plan(max(1, int(magnitude.max()) * peak), depth, largest)
        return cls(matrix.astype(product.dtype).T, product, unit_scaler(weight, scale, largest))

    def rows(self, part: slice) -> Projection:
        """Return the projection to some of the outputs."""
        scaler = Requantizer(self.scaler.multiplier[part], self.scaler.shift[part])
        return Projection(self.matrix[:, part], self.product, scaler)

    def __call__(self, rows: Integers) -> Integers:
        """Multiply integers (count, depth); the result has shape (count, outputs)."""
        sums = self.product(rows.astype(self.product.dtype), self.matrix)
        scaled: Integers = self.scaler.scale(sums.astype(np.int64), Rounding.HALF_UP)
        return np.asarray(np.clip(scaled, -PRODUCT_LIMIT, PRODUCT_LIMIT))


def unit_scaler(weight: PackedWeight, scale: float, largest: int) -> Requantizer:
    """Return what brings sums of products, up to `largest`, to units of 2**-15; see `Projection.of`."""
    real = np.broadcast_to(weight.scale, weight.shape[0]).astype(np.float64) * scale * 2.0**UNIT_BITS
    return requantizer(real, max(LEAST_ACC_BITS, largest.bit_length() + 1))


class Curve:
    """Sigmoid and tanh of fixed-point numbers, both in units of 2**-15, between the entries of one table."""

    def __init__(self, table: Integers) -> None:
        """Take the entries for 0 to 16."""
        self._table = np.asarray(table)

    def sigmoid(self, x: Integers) -> Integers:
        """Return the sigmoid; within 2.8e-5 of the real one."""
        return rounding_shift_right(self._raw(x), _RAW_BITS - UNIT_BITS, Rounding.HALF_UP)

    def tanh(self, x: Integers) -> Integers:
        """Return ``2 * sigmoid(2 * x) - 1``; within 4.0e-5 of the real one."""
        raw = 2 * self._raw(2 * x) - (1 << _RAW_BITS)
        return rounding_shift_right(raw, _RAW_BITS - UNIT_BITS, Rounding.HALF_UP)

    def _raw(self, x: Integers) -> Integers:
        """Return the sigmoid in units of 2**-30, by the chord between two entries."""
        place = np.minimum(np.abs(x), ((TABLE_LENGTH - 1) << _STEP_BITS) - 1)
        entry, past = place >> _STEP_BITS, place & ((1 << _STEP_BITS) - 1)
        low = self._table[entry]
        value = (low << _STEP_BITS) + (self._table[entry + 1] - low) * past
        return np.asarray(np.where(x < 0, (1 << _RAW_BITS) - value, value))
