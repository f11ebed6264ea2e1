"""What a compute unit spends on a layer whose sizes do not fill the blocks that it works in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from hwmodels.arrays import Floats, LayerArrays


@dataclass(frozen=True, slots=True)
class Tile:
    """Table ``[tile]``: the block of a matrix product that a kernel or an array finishes at a time.

    Attributes:
        rows: rows of the left matrix, which are positions of a convolution.
        columns: columns of the right matrix, which are output channels.
        depth_bytes: bytes of a left row that are reduced at once at 8 bits; rows of other widths are padded
            to as many elements, so that more bits never fit better.
        source: where this comes from.
    """

    rows: int
    columns: int
    depth_bytes: int
    source: str

    def padded_macs(self, layers: LayerArrays) -> Floats:
        """Return the multiply-accumulates of layers whose blocks are filled up with zeros, one per layer.

        Every group, every product of a batched MatMul with a computed right side, and every step of a
        recurrent layer is a product of its own. A single row is a matrix by a vector, for which libraries
        have kernels that waste no rows.
        """
        apart = products(layers)
        rows = layers.rows / apart
        rows = np.where(rows > 1, _filled(rows, self.rows), rows)
        columns, depth = _filled(layers.columns, self.columns), _filled(layers.depth, self.depth_bytes)
        return layers.groups * apart * rows * columns * depth


def products(layers: LayerArrays) -> Floats:
    """Return the separate matrix products of one group: steps, or the batch where both sides are computed."""
    return np.where(layers.rhs_elements > 0, layers.batch, layers.steps)


def _filled(size: Floats, block: int) -> Floats:
    return np.ceil(size / block) * block
