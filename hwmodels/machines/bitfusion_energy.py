"""The energy of layers on a BitFusion array: fusion units, leakage, on-chip buffers and DRAM."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from hwmodels.machines.bitfusion_array import (
    Array,
    cycles_per_product,
    dram_bits,
    parallel_products,
    reduction_cycles,
)

if TYPE_CHECKING:
    from hwmodels.arrays import Floats, LayerArrays, PairArrays

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

    def energies(
        self, layers: LayerArrays, run: PairArrays, stored: PairArrays, cycles: Floats
    ) -> tuple[Floats, Floats, Floats]:
        """Return the energy of layers in joules, and of that what the buffers and what DRAM take.

        Args:
            layers: their geometry.
            run: the supported widths at which the array works.
            stored: the widths at which values are stored and moved.
            cycles: how long each takes, during which every unit leaks.
        """
        busy_cycles = layers.macs * cycles_per_product(run) / parallel_products(run)
        busy = busy_cycles * self.core.unit_pj_per_cycle
        leaked = cycles * self.array.rows * self.array.columns * self.core.unit_leakage_pj_per_cycle
        moved = dram_bits(layers, stored) * self.dram.dram_pj_per_bit
        filled, used = self._fill_pj(layers, stored), self._use_pj(layers, run)
        return (busy + leaked + moved + filled + used) * PICO, (filled + used) * PICO, moved * PICO

    def _fill_pj(self, layers: LayerArrays, stored: PairArrays) -> Floats:
        """Inputs go once from DRAM into their buffers, outputs once from their buffer to DRAM."""
        weights = layers.weight_count * stored.weight + layers.rhs_elements * stored.act
        return (
            weights * self.sram.weight_write_pj_per_bit
            + layers.in_elements * stored.act * self.sram.input_write_pj_per_bit
            + layers.out_elements * stored.act * self.sram.output_read_pj_per_bit
        )

    def _use_pj(self, layers: LayerArrays, run: PairArrays) -> Floats:
        """Each unit reads its own weight, a row shares an input, a column updates one partial sum."""
        tiles = np.ceil(layers.columns / self.array.columns)
        shared_inputs = layers.groups * layers.rows * layers.depth * tiles
        updates = (
            layers.groups * layers.rows * layers.columns * reduction_cycles(layers, run, self.array.rows)
        )
        update_pj_per_bit = self.sram.output_read_pj_per_bit + self.sram.output_write_pj_per_bit
        return (
            layers.macs * run.weight * self.sram.weight_read_pj_per_bit
            + shared_inputs * run.act * self.sram.input_read_pj_per_bit
            + updates * self.accumulator_bits * update_pj_per_bit
        )
