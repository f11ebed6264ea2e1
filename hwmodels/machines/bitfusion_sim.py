"""The public BitFusion simulator (repository hsharma35/bitfusion), whose cycles the literature quotes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from hwmodels.arrays import Estimate, LayerArrays, PairArrays
from hwmodels.errors import UnsupportedError
from hwmodels.fields import spec_error
from hwmodels.machine import ArrayMachine
from hwmodels.machines.bitfusion_array import parallel_products
from hwmodels.machines.bitfusion_search import Search
from hwmodels.machines.bitfusion_shapes import Shapes
from hwmodels.machines.bitfusion_tiles import SimulatedArray
from hwmodels.rules import read_arithmetic
from hwmodels.types import Metric

if TYPE_CHECKING:
    from hwmodels.arrays import Floats
    from hwmodels.machines.bitfusion_tiles import Indices
    from hwmodels.spec import HardwareSpec

WIDTHS = frozenset({2, 4, 8})
CHUNK_LAYERS = 32
"""Layers searched together: few enough that the arrays stay in the cache of a core."""


@dataclass(frozen=True)
class BitFusionSim(ArrayMachine):
    """A BitFusion array as its public simulator sees it, which makes narrow operands look worse than need be.

    A layer is cut into square tiles of o x o positions, C' input and N' output channels, all of them powers
    of two (N' times the columns of the array) or the whole. Per tile, with R rows, S columns and f products
    per fusion unit::

        cycles  = ceil(N' / S) * o^2 * k^2 * ceil(C' / (R * f))
        weights = ceil(k^2 * C' / (R * f)) * R * f * N' * w bits
        inputs  = (k + (o - 1) * stride)^2 * C' * a bits
        outputs = o^2 * ceil(N' / S) * S * 32 bits

    each of which must fit half of its buffer. The loops over tiles run in the order that is fastest; a loop
    that comes back to the same tiles moves them again unless all that is inside it fits. The time is
    max(compute + first fill and last write, traffic), the best of all tiles and orders.

    Two artefacts are part of it: outputs cost 32 bits of reading and 32 bits of writing each, whatever the
    next layer reads, and a layer is never unrolled over its kernel, so that three image channels fill 3 of 16
    lanes. The simulator rounds three terms up where this rounds their sum: up to two cycles per layer.

    In the simulator some layers are slower at fewer bits, by the padding of narrow weights. Here such a layer
    takes what it takes at the best pair that is no narrower on either side: values may always be held wider.

    It has no groups, no sequences and no products of computed operands. Here C / groups channels share the
    lanes and a tile reads the groups of its own outputs; steps and computed products run one after the other.
    Rows of a matrix product are images, as in the simulator.
    """

    array: SimulatedArray

    @classmethod
    def from_spec(cls, spec: HardwareSpec) -> BitFusionSim:
        """Build the machine that a file describes.

        Raises:
            SpecError: a table or key is missing, unknown or wrong, or a buffer is too small for any tile.
        """
        spec.expect(("arithmetic", "array"))
        arithmetic, array = read_arithmetic(spec, WIDTHS), spec.table("array", SimulatedArray)
        if (
            arithmetic.weight_bits != arithmetic.act_bits
            or arithmetic.depthwise_pairs
            or arithmetic.matmul_pairs
        ):
            expected = "the same weight_bits and act_bits, for all kinds of layers"
            raise spec_error(spec.file, "[arithmetic]", expected, "others")
        least = array.columns * arithmetic.accumulator_bits // 4
        if array.output_buffer_bytes < least:
            expected = f"at least {least}: twice the partial sums of all columns"
            raise spec_error(
                spec.file, "[array] output_buffer_bytes", expected, str(array.output_buffer_bytes)
            )
        return cls(spec.machine.name, arithmetic, None, array)

    @property
    def estimated(self) -> frozenset[Metric]:
        """Latency."""
        return frozenset({Metric.LATENCY})

    def estimate(self, layers: LayerArrays, run: PairArrays, stored: PairArrays) -> Estimate:
        """Price layers at the widths stored; ``run`` follows from them.

        Raises:
            UnsupportedError: the kernel of a layer is so large that no tile fits the buffers.
        """
        shapes = Shapes.of(layers.works)
        least = int(min(stored.weight.min(initial=self._widest), stored.act.min(initial=self._widest)))
        first, again = _distinct(shapes.table)
        found = self._rising_cycles(shapes.at(first), least)[again]
        which = np.arange(len(again))[:, np.newaxis]
        cycles = found[which, (stored.weight - least).astype(np.intp), (stored.act - least).astype(np.intp)]
        self._check_fit(layers, cycles)
        cycles = np.ceil(cycles) * shapes.repeats[:, np.newaxis]
        return Estimate(latency_s=cycles / self.array.clock_hz, cycles=cycles)

    @property
    def _widest(self) -> int:
        return self.arithmetic.weight_bits[-1]

    def _rising_cycles(self, shapes: Shapes, least: int) -> Floats:
        """Return cycles of shape (layers, weight bits, act bits), bits from ``least`` up, that never fall."""
        bits = np.arange(least, self._widest + 1, dtype=np.float64)
        pairs = PairArrays(*(side.ravel() for side in np.meshgrid(bits, bits, indexing="ij")))
        parts = range(0, max(len(shapes.taps), 1), CHUNK_LAYERS)
        found = [self._search(shapes.at(slice(part, part + CHUNK_LAYERS)), pairs).cycles() for part in parts]
        cycles = np.concatenate(found).reshape(-1, len(bits), len(bits))[:, ::-1, ::-1]
        return np.minimum.accumulate(np.minimum.accumulate(cycles, axis=1), axis=2)[:, ::-1, ::-1]

    def _search(self, shapes: Shapes, pairs: PairArrays) -> Search:
        widths = np.array(self.arithmetic.weight_bits, dtype=np.float64)
        run = PairArrays(*(widths[np.searchsorted(widths, bits)] for bits in (pairs.weight, pairs.act)))
        lanes = self.array.rows * parallel_products(run)
        return Search(self.array, shapes, lanes, pairs.weight, pairs.act, self.accumulator_bits)

    def _check_fit(self, layers: LayerArrays, cycles: Floats) -> None:
        for index in np.flatnonzero(~np.isfinite(cycles).all(axis=1)):
            work = layers.works[index]
            raise UnsupportedError(
                f"{self.name}: layer {work.name!r}: expected a kernel of which one channel fits half of the "
                f"buffers, found {work.taps} positions; take a target without buffers, such as bitfusion"
            )


def _distinct(rows: Floats) -> tuple[Indices, Indices]:
    """Return where each distinct row comes first, and for every row which of those it equals."""
    order: dict[bytes, int] = {}
    which = [order.setdefault(row.tobytes(), len(order)) for row in rows]
    return np.unique(which, return_index=True)[1], np.array(which, dtype=np.intp)
