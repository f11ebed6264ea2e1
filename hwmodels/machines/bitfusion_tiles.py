"""How the public BitFusion simulator cuts layers into tiles, and what a tile holds and takes."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from itertools import product
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from hwmodels.arrays import Floats
    from hwmodels.machines.bitfusion_shapes import Shapes

    Indices = NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class SimulatedArray:
    """Table ``[array]``: ``rows`` of fusion units along the reduction, ``columns`` along the outputs.

    Half of every buffer holds the tile at work, the other half takes the next one.
    """

    rows: int
    columns: int
    clock_hz: float
    dram_bits_per_cycle: float
    weight_buffer_bytes: int
    input_buffer_bytes: int
    output_buffer_bytes: int
    source: str


@dataclass(frozen=True, slots=True, eq=False)
class Tilings:
    """Ways to cut layers, every field of shape (ways,), the ways of a layer next to each other.

    Attributes:
        layer: the layer that each way cuts.
        images, height, width, inputs, outputs: sizes of one tile; inputs are those of one group.
        width_count, height_count, input_count, output_count: tiles along each; images count as height.
    """

    layer: Indices
    images: Floats
    height: Floats
    width: Floats
    inputs: Floats
    outputs: Floats
    width_count: Floats
    height_count: Floats
    input_count: Floats
    output_count: Floats

    def at(self, index: object) -> Tilings:
        """Select from every field, as NumPy selects."""
        return Tilings(*(getattr(self, field.name)[index] for field in fields(self)))

    @property
    def count(self) -> Floats:
        """Tiles altogether."""
        return self.width_count * self.height_count * self.input_count * self.output_count

    @property
    def positions(self) -> Floats:
        """Positions of one tile at which the kernel is applied."""
        return self.images * self.height * self.width

    @classmethod
    def of(cls, shapes: Shapes, array: SimulatedArray, accumulator_bits: int) -> Tilings:
        """List every way whose outputs fit: sizes are powers of two, or the whole.

        Outputs come in multiples of the columns of the array; squares of positions grow first, images after.
        """
        most = array.output_buffer_bytes * 8 / 2 / accumulator_bits
        space, depth, stripes = np.array(_levels(array, most), dtype=np.float64).T
        column = shapes.at(np.s_[:, np.newaxis])
        side_levels = _level(np.maximum(column.height, column.width))
        sizes = (
            np.clip(2.0 ** (space - side_levels), 1, column.images),
            np.minimum(2.0**space, column.height),
            np.minimum(2.0**space, column.width),
            np.minimum(2.0**depth, column.inputs),
            np.minimum(2.0**stripes * array.columns, column.outputs),
        )
        stored = sizes[0] * sizes[1] * sizes[2] * np.ceil(sizes[4] / array.columns) * array.columns
        fits = (
            (stored <= most)
            & (space <= side_levels + _level(column.images))
            & (depth <= _level(column.inputs))
            & (stripes <= _level(np.ceil(column.outputs / array.columns)))
        )
        layer, way = np.nonzero(fits)
        images, height, width, inputs, outputs = (
            np.broadcast_to(size, fits.shape)[layer, way] for size in sizes
        )
        whole = shapes.at(layer)
        return cls(
            layer,
            images=images,
            height=height,
            width=width,
            inputs=inputs,
            outputs=outputs,
            width_count=np.ceil(whole.width / width),
            height_count=np.ceil(whole.height / height) * np.ceil(whole.images / images),
            input_count=np.ceil(whole.inputs / inputs),
            output_count=np.ceil(whole.outputs / outputs),
        )


def _levels(array: SimulatedArray, most: float) -> list[tuple[int, int, int]]:
    """List exponents of positions, inputs and outputs beyond which no tile fits, at one bit per value."""
    positions_by_outputs = math.ceil(math.log2(max(most / array.columns, 1))) + 1
    inputs = math.ceil(math.log2(array.input_buffer_bytes * 8 / 2))
    ranges = range(positions_by_outputs + 1), range(inputs + 1), range(positions_by_outputs + 1)
    return [levels for levels in product(*ranges) if levels[0] + levels[2] <= positions_by_outputs]


def _level(size: Floats) -> Floats:
    """Return the exponent of the first power of two that is no smaller."""
    return np.ceil(np.log2(size))
