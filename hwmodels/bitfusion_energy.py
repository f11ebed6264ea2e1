"""The energy of one layer on a BitFusion array: fusion units, leakage, on-chip buffers and DRAM."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hwmodels.bitfusion_array import Array, cycles_per_product, dram_bits, parallel_products, reduction_cycles

if TYPE_CHECKING:
    from hwmodels.types import Precision
    from hwmodels.workload import Workload

PICO = 1e-12


@dataclass(frozen=True, slots=True)
class CoreEnergy:
    """Table ``[core_energy]``: one fusion unit during one cycle, when it works and when it only leaks."""

    unit_pj_per_cycle: float
    unit_leakage_pj_per_cycle: float
    source: str


@dataclass(frozen=True, slots=True)
class SramEnergy:
    """Table ``[sram_energy]``: one bit into or out of a bank of the three on-chip buffers."""

    weight_read_pj_per_bit: float
    weight_write_pj_per_bit: float
    input_read_pj_per_bit: float
    input_write_pj_per_bit: float
    output_read_pj_per_bit: float
    output_write_pj_per_bit: float
    source: str


@dataclass(frozen=True, slots=True)
class DramEnergy:
    """Table ``[dram_energy]``: one bit across the memory interface."""

    dram_pj_per_bit: float
    source: str


@dataclass(frozen=True, slots=True)
class EnergyModel:
    """The three tables together with the array that they describe."""

    core: CoreEnergy
    sram: SramEnergy
    dram: DramEnergy
    array: Array
    accumulator_bits: int

    def energy_j(self, work: Workload, precision: Precision, pair: Precision, cycles: float) -> float:
        """Return the energy of one layer in joules.

        Args:
            work: the layer.
            precision: the widths at which values are stored and moved.
            pair: the supported widths at which the array works.
            cycles: how long the layer takes, during which every unit leaks.
        """
        busy_cycles = work.macs * cycles_per_product(pair) / parallel_products(pair)
        busy = busy_cycles * self.core.unit_pj_per_cycle
        leaked = cycles * self.array.rows * self.array.columns * self.core.unit_leakage_pj_per_cycle
        moved = dram_bits(work, precision) * self.dram.dram_pj_per_bit
        return (busy + leaked + moved + self._fill_pj(work, precision) + self._use_pj(work, pair)) * PICO

    def _fill_pj(self, work: Workload, precision: Precision) -> float:
        """Inputs go once from DRAM into their buffers, outputs once from their buffer to DRAM."""
        weights = work.weight_count * precision.weight_bits + work.rhs_elements * precision.act_bits
        return (
            weights * self.sram.weight_write_pj_per_bit
            + work.in_elements * precision.act_bits * self.sram.input_write_pj_per_bit
            + work.out_elements * precision.act_bits * self.sram.output_read_pj_per_bit
        )

    def _use_pj(self, work: Workload, pair: Precision) -> float:
        """Each unit reads its own weight, a row shares an input, a column updates one partial sum."""
        tiles = math.ceil(work.columns / self.array.columns)
        shared_inputs = work.groups * work.rows * work.depth * tiles
        updates = work.groups * work.rows * work.columns * reduction_cycles(work, pair, self.array.rows)
        update_pj_per_bit = self.sram.output_read_pj_per_bit + self.sram.output_write_pj_per_bit
        return (
            work.macs * pair.weight_bits * self.sram.weight_read_pj_per_bit
            + shared_inputs * pair.act_bits * self.sram.input_read_pj_per_bit
            + updates * self.accumulator_bits * update_pj_per_bit
        )
