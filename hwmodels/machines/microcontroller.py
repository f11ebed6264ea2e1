"""Microcontroller cores that run the kernels of CMSIS-NN out of on-chip memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hwmodels.arrays import Estimate, LayerArrays, PairArrays
from hwmodels.elementwise import VectorUnit
from hwmodels.machine import ArrayMachine
from hwmodels.machines.compute import Compute, read_compute
from hwmodels.machines.roofline import Power
from hwmodels.rules import read_arithmetic
from hwmodels.types import Metric

if TYPE_CHECKING:
    from hwmodels.spec import HardwareSpec

WIDTHS = frozenset({4, 8, 16})


@dataclass(frozen=True)
class Microcontroller(ArrayMachine):
    """An in-order core whose time goes into instructions, whatever memory holds the operands.

    latency = overhead + MACs / rate(w, a) / clock, with a rate of its own for depthwise layers; loads, flash
    wait states, unrolling and rescaling are in the rates. Energy = power * latency, where the file has a
    power. Weights of 4 bits are unpacked by the kernel: they save flash, not time.

    Attributes:
        compute: rates and the time to start a layer.
        power: what chip and board draw; ``None`` where there is no measurement.
    """

    compute: Compute
    power: Power | None

    @classmethod
    def from_spec(cls, spec: HardwareSpec) -> Microcontroller:
        """Build the machine that a file describes.

        Raises:
            SpecError: a table or key is missing, unknown or wrong.
        """
        spec.expect(("arithmetic", "compute", "elementwise", "power"))
        arithmetic = read_arithmetic(spec, WIDTHS)
        return cls(
            spec.machine.name,
            arithmetic,
            spec.optional("elementwise", VectorUnit),
            read_compute(spec, arithmetic),
            spec.optional("power", Power),
        )

    @property
    def estimated(self) -> frozenset[Metric]:
        """Latency, and energy where the file has a power."""
        return frozenset({Metric.LATENCY, Metric.ENERGY} if self.power else {Metric.LATENCY})

    def estimate(self, layers: LayerArrays, run: PairArrays, stored: PairArrays) -> Estimate:
        """Price layers by their products; the widths in memory do not matter to time."""
        cycles = self.compute.cycles(layers, run, layers.macs)
        seconds = self.compute.overhead_s + cycles / self.compute.clock_hz
        energy = self.power.energy_j(seconds) if self.power else None
        return Estimate(seconds, energy, seconds * self.compute.clock_hz)
