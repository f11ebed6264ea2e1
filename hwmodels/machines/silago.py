"""SiLago, a coarse-grained reconfigurable array, as MOHAQ priced it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from hwmodels.arrays import Estimate, LayerArrays, PairArrays
from hwmodels.elementwise import PICO, VectorUnit
from hwmodels.fields import spec_error
from hwmodels.machine import ArrayMachine
from hwmodels.machines.compute import Compute, read_compute
from hwmodels.rules import read_arithmetic
from hwmodels.types import Metric

if TYPE_CHECKING:
    from hwmodels.spec import HardwareSpec

WIDTHS = frozenset({4, 8, 16})


@dataclass(frozen=True, slots=True)
class ProductEnergy:
    """Table ``[energy]``: a multiply-accumulate at each pair of ``[compute]``, and a bit read from memory."""

    products_pj_per_mac: tuple[float, ...]
    memory_pj_per_bit: float
    source: str


@dataclass(frozen=True)
class Silago(ArrayMachine):
    """Array whose units make one 16-bit, two 8-bit or four 4-bit products at a time.

    From MOHAQ (Rezk et al., IEEE Access 2021; code in `NesmaMRezk/MOHAQ-Shrink-and-Eliminate`):
    time = MACs / (rate * speed-up(b)) with a speed-up of 16 / b, and
    energy = bits of weights * memory energy + MACs * product energy(b). Both operands have the same width b.
    Weights are read once from memory on the chip, inputs are not counted; a computed right side counts as
    weights. MOHAQ publishes speed-ups only: its clock and number of units are not known, so seconds rest on
    an assumed rate and only their ratios mean something.

    Attributes:
        compute: rates and clock.
        energy: energies.
    """

    compute: Compute
    energy: ProductEnergy

    @classmethod
    def from_spec(cls, spec: HardwareSpec) -> Silago:
        """Build the machine that a file describes.

        Raises:
            SpecError: a table or key is missing, unknown or wrong, or a pair has no energy.
        """
        spec.expect(("arithmetic", "compute", "energy", "elementwise"))
        arithmetic = read_arithmetic(spec, WIDTHS)
        compute, energy = read_compute(spec, arithmetic), spec.table("energy", ProductEnergy)
        count = len(compute.pairs)
        if len(energy.products_pj_per_mac) != count:
            expected, found = f"{count} energies, one per pair", str(len(energy.products_pj_per_mac))
            raise spec_error(spec.file, "[energy] products_pj_per_mac", expected, found)
        vector_unit = spec.optional("elementwise", VectorUnit)
        return cls(spec.machine.name, arithmetic, vector_unit, compute, energy)

    @property
    def estimated(self) -> frozenset[Metric]:
        """Latency, of which only ratios are published, and energy."""
        return frozenset({Metric.LATENCY, Metric.ENERGY})

    def estimate(self, layers: LayerArrays, run: PairArrays, stored: PairArrays) -> Estimate:
        """Price layers: the array is never kept waiting, since weights are on the chip."""
        cycles = self.compute.cycles(layers, run, layers.macs)
        bits = layers.weight_count * stored.weight + layers.rhs_elements * stored.act
        memory = bits * self.energy.memory_pj_per_bit
        products = layers.macs * self.compute.by_pair(run, self.energy.products_pj_per_mac)
        return Estimate(
            cycles / self.compute.clock_hz,
            (memory + products) * PICO,
            cycles,
            on_chip_j=memory * PICO,
            off_chip_j=np.zeros_like(memory),
        )
