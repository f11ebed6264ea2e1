"""BitFusion (Sharma et al., ISCA 2018): an array of fusion units that multiply narrow operands in parallel.

A fusion unit has 16 bricks of 2 x 2 bits. At 8 x 8 bits they make one product per cycle; a side of 4 bits
doubles, a side of 2 bits quadruples the products, and a side of 16 bits takes two cycles.

This is the ideal machine: every tensor crosses the memory interface once, at its own width. The next layer is
unknown here, so outputs are stored at the activation width of the layer itself. The authors' public simulator
charges 64 bits for every output element instead, which makes its low precisions look worse.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from hwmodels.arrays import Estimate, LayerArrays, PairArrays
from hwmodels.elementwise import VectorUnit
from hwmodels.machine import ArrayMachine
from hwmodels.machines.bitfusion_array import Array, compute_cycles, dram_bits
from hwmodels.machines.bitfusion_energy import CoreEnergy, DramEnergy, EnergyModel, SramEnergy
from hwmodels.rules import read_arithmetic
from hwmodels.types import Metric

if TYPE_CHECKING:
    from hwmodels.spec import HardwareSpec

WIDTHS = frozenset({2, 4, 8, 16})
ENERGY_TABLES = ("core_energy", "sram_energy", "dram_energy")


@dataclass(frozen=True)
class BitFusion(ArrayMachine):
    """A BitFusion array with its memory interface; without energy tables it does not estimate energy.

    The array works at the supported pair; memory holds and moves values at the width asked for.
    """

    array: Array
    energy: EnergyModel | None

    @classmethod
    def from_spec(cls, spec: HardwareSpec) -> BitFusion:
        """Build the machine that a file describes.

        Raises:
            SpecError: a table or key is missing, unknown or wrong, or only some energy tables are given.
        """
        spec.expect(("arithmetic", "array", "elementwise", *ENERGY_TABLES))
        arithmetic, array = read_arithmetic(spec, WIDTHS), spec.table("array", Array)
        energy = None
        if not spec.tables.keys().isdisjoint(ENERGY_TABLES):
            energy = EnergyModel(
                core=spec.table("core_energy", CoreEnergy),
                sram=spec.table("sram_energy", SramEnergy),
                dram=spec.table("dram_energy", DramEnergy),
                array=array,
                accumulator_bits=arithmetic.accumulator_bits,
            )
        vector_unit = spec.optional("elementwise", VectorUnit)
        return cls(spec.machine.name, arithmetic, vector_unit, array, energy)

    @property
    def estimated(self) -> frozenset[Metric]:
        """Latency, and energy where the file has its tables."""
        return frozenset({Metric.LATENCY, Metric.ENERGY} if self.energy else {Metric.LATENCY})

    def estimate(self, layers: LayerArrays, run: PairArrays, stored: PairArrays) -> Estimate:
        """Price layers: the slower of array and memory interface sets the time."""
        moved, clock = dram_bits(layers, stored), self.array.clock_hz
        memory_cycles = np.ceil(moved / self.array.dram_bits_per_cycle)
        busy_cycles = compute_cycles(layers, run, self.array)
        cycles = np.maximum(busy_cycles, memory_cycles)
        times = Estimate(cycles / clock, None, cycles, busy_cycles / clock, memory_cycles / clock, moved / 8)
        if self.energy is None:
            return times
        total, on_chip, off_chip = self.energy.energies(layers, run, stored, cycles)
        return replace(times, energy_j=total, on_chip_j=on_chip, off_chip_j=off_chip)
