"""Systolic arrays of 8-bit multipliers, at low precision as AMED drove them through SCALE-Sim."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from hwmodels.arrays import Estimate, LayerArrays, PairArrays
from hwmodels.elementwise import VectorUnit
from hwmodels.fields import spec_error
from hwmodels.machine import ArrayMachine
from hwmodels.machines.roofline import Memory
from hwmodels.machines.systolic_cycles import DATAFLOWS, Grid, compute_cycles
from hwmodels.rules import read_arithmetic
from hwmodels.types import Metric

if TYPE_CHECKING:
    from hwmodels.spec import HardwareSpec

WIDTHS = frozenset(range(2, 9))


@dataclass(frozen=True)
class Systolic(ArrayMachine):
    """A systolic array in front of DRAM, after SCALE-Sim (Samajdar et al., 2018).

    latency = max(cycles / clock, traffic / bandwidth). Cycles are those of an array that never waits:
    groups * folds * (load + stream + rows + columns - 2), where

    - output stationary: folds = ceil(positions / rows) * ceil(filters / columns), stream = depth, load = 0;
    - weight stationary: folds = ceil(depth / rows) * ceil(filters / columns), stream = positions,
      load = rows;
    - input stationary: folds = ceil(depth / rows) * ceil(positions / columns), stream = filters,
      load = rows.

    The multipliers are 8 bits wide. Narrow weights count as fewer filters, as in AMED (arXiv 2205.15437, code
    in `RamorayDrake/AMED`): floor(filters / ceil(8 / bits)) + 1 below 5 bits, and linear between 4 and
    8 bits. Activations gain nothing in the array, only traffic. AMED ties both widths of a layer; since its
    formulas do not mix them, every pair is offered here.

    A depthwise layer is as many products of one filter, which leaves all other columns idle.

    Attributes:
        grid: the array.
        memory: half of a buffer, the other half being filled meanwhile, and the interface to DRAM.
    """

    grid: Grid
    memory: Memory

    @classmethod
    def from_spec(cls, spec: HardwareSpec) -> Systolic:
        """Build the machine that a file describes.

        Raises:
            SpecError: a table or key is missing, unknown or wrong.
        """
        spec.expect(("arithmetic", "array", "memory", "elementwise"))
        grid = spec.table("array", Grid)
        if grid.dataflow not in DATAFLOWS:
            expected = f"one of {', '.join(DATAFLOWS)}"
            raise spec_error(spec.file, "[array] dataflow", expected, repr(grid.dataflow[:60]))
        return cls(
            spec.machine.name,
            read_arithmetic(spec, WIDTHS),
            spec.optional("elementwise", VectorUnit),
            grid,
            spec.table("memory", Memory),
        )

    @property
    def estimated(self) -> frozenset[Metric]:
        """Latency; no energy is published with these arrays."""
        return frozenset({Metric.LATENCY})

    def estimate(self, layers: LayerArrays, run: PairArrays, stored: PairArrays) -> Estimate:
        """Price layers: the slower of array and memory, since buffers are filled while the array works."""
        busy = compute_cycles(layers, run, self.grid) / self.grid.clock_hz
        moved = self.memory.traffic_bytes(layers, stored)
        moving = self.memory.seconds(moved)
        seconds = np.maximum(busy, moving)
        return Estimate(seconds, None, seconds * self.grid.clock_hz, busy, moving, moved)
