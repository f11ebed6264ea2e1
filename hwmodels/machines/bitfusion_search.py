"""Finds the tiles and the order of loops with which the public BitFusion simulator runs a layer fastest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from hwmodels.machines.bitfusion_tiles import Tilings
from hwmodels.machines.bitfusion_traffic import Candidates, Tensor

if TYPE_CHECKING:
    from hwmodels.arrays import Floats
    from hwmodels.machines.bitfusion_shapes import Shapes
    from hwmodels.machines.bitfusion_tiles import Indices, SimulatedArray


@dataclass(frozen=True, slots=True, eq=False)
class Search:
    """Layers at precisions on an array.

    Attributes:
        array: the machine.
        shapes: the layers.
        lanes: channels that the array sums at once, of shape (pairs,).
        weight_bits: width at which weights are stored and moved, of shape (pairs,).
        act_bits: width of activations, of shape (pairs,).
        sum_bits: width of a partial sum.
    """

    array: SimulatedArray
    shapes: Shapes
    lanes: Floats
    weight_bits: Floats
    act_bits: Floats
    sum_bits: int

    def cycles(self) -> Floats:
        """Return the fewest cycles, of shape (layers, pairs); infinite where no tile fits.

        What a way to cut a layer takes at the least is found for all ways, what it does take for few: for the
        way that promises most, and for those that promise more than that one keeps.
        """
        ways = Tilings.of(self.shapes, self.array, self.sum_bits)
        pairs = np.arange(len(self.lanes))
        promised = self._candidates(ways.at(np.s_[:, np.newaxis]), pairs).least_cycles()
        first = _first_lowest(promised, ways.layer)
        best = self._candidates(ways.at(first), pairs).cycles()
        promised[first, pairs] = np.inf
        way, pair = np.nonzero(promised < best[ways.layer])
        better = ways.at(way)
        np.minimum.at(best, (better.layer, pair), self._candidates(better, pair).cycles())
        return best

    def _candidates(self, ways: Tilings, pair: Indices) -> Candidates:
        """Describe ways at precisions; both arguments broadcast to the shape of the result."""
        shapes, lanes, act_bits = self.shapes.at(ways.layer), self.lanes[pair], self.act_bits[pair]
        weight_bits = np.where(shapes.computed > 0, act_bits, self.weight_bits[pair])
        taps, stripes = shapes.taps, np.ceil(ways.outputs / self.array.columns)
        cycles = (ways.count * ways.positions * stripes * taps) * np.ceil(ways.inputs / lanes)
        return Candidates(
            cycles,
            self._weights(ways, taps, lanes, weight_bits),
            self._inputs(ways, shapes, act_bits),
            self._outputs(ways, stripes),
            self.array.dram_bits_per_cycle,
        )

    def _weights(self, ways: Tilings, taps: Floats, lanes: Floats, bits: Floats) -> Tensor:
        """The products of one output are padded to whole passes over the lanes."""
        return Tensor(
            np.ceil(taps * ways.inputs / lanes) * lanes * (ways.outputs * bits),
            self.array.weight_buffer_bytes * 4,
            {"inputs": ways.input_count, "outputs": ways.output_count},
            {"width": ways.width_count, "height": ways.height_count},
        )

    def _inputs(self, ways: Tilings, shapes: Shapes, bits: Floats) -> Tensor:
        """A tile reads the border that its kernel needs, of the groups that its outputs belong to."""
        groups = np.maximum(ways.outputs * shapes.groups / shapes.outputs, 1)
        height = shapes.kernel_height + (ways.height - 1) * shapes.stride
        width = shapes.kernel_width + (ways.width - 1) * shapes.stride
        others = shapes.groups / groups
        return Tensor(
            (ways.images * height * width * ways.inputs * groups) * bits,
            self.array.input_buffer_bytes * 4,
            {
                "width": ways.width_count,
                "height": ways.height_count,
                "inputs": ways.input_count,
                "outputs": others,
            },
            {"outputs": np.maximum(ways.output_count / others, 1)},
        )

    def _outputs(self, ways: Tilings, stripes: Floats) -> Tensor:
        """Every column of the array has a partial sum, used or not."""
        return Tensor(
            ways.positions * stripes * self.array.columns * self.sum_bits,
            self.array.output_buffer_bytes * 4,
            {"width": ways.width_count, "height": ways.height_count, "outputs": ways.output_count},
            {"inputs": ways.input_count},
        )


def _first_lowest(promised: Floats, layer: Indices) -> Indices:
    """Return for every layer and pair the first of its ways with the lowest promise."""
    starts = np.flatnonzero(np.diff(layer, prepend=-1))
    lowest = np.minimum.reduceat(promised, starts, axis=0)
    way = np.arange(len(layer))[:, np.newaxis]
    return np.minimum.reduceat(np.where(promised == lowest[layer], way, len(layer)), starts, axis=0)
