"""GPUs whose tensor cores multiply narrow integers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from hwmodels.arrays import Estimate, LayerArrays, PairArrays
from hwmodels.elementwise import VectorUnit
from hwmodels.machine import ArrayMachine
from hwmodels.machines.compute import Compute, read_compute
from hwmodels.machines.roofline import Memory, Power
from hwmodels.machines.tiles import Tile
from hwmodels.rules import read_arithmetic
from hwmodels.types import Metric

if TYPE_CHECKING:
    from hwmodels.spec import HardwareSpec

WIDTHS = frozenset({4, 8, 16})


@dataclass(frozen=True)
class TensorCore(ArrayMachine):
    """A GPU that runs one kernel per layer, out of its second-level cache and its memory.

    latency = overhead + max(padded MACs / rate(w, a) / clock, traffic / bandwidth); a depthwise layer, which
    tensor cores would run almost empty, goes at a rate of its own. Energy = board power * latency, where the
    file has a power.

    Attributes:
        compute: rates and the time to launch a kernel.
        tile: the block of one tensor-core instruction.
        memory: second-level cache and device memory.
        power: board power; ``None`` where there is no estimate.
    """

    compute: Compute
    tile: Tile
    memory: Memory
    power: Power | None

    @classmethod
    def from_spec(cls, spec: HardwareSpec) -> TensorCore:
        """Build the machine that a file describes.

        Raises:
            SpecError: a table or key is missing, unknown or wrong.
        """
        spec.expect(("arithmetic", "compute", "tile", "memory", "elementwise", "power"))
        arithmetic = read_arithmetic(spec, WIDTHS)
        return cls(
            spec.machine.name,
            arithmetic,
            spec.optional("elementwise", VectorUnit),
            read_compute(spec, arithmetic),
            spec.table("tile", Tile),
            spec.table("memory", Memory),
            spec.optional("power", Power),
        )

    @property
    def estimated(self) -> frozenset[Metric]:
        """Latency, and energy where the file has a power."""
        return frozenset({Metric.LATENCY, Metric.ENERGY} if self.power else {Metric.LATENCY})

    def estimate(self, layers: LayerArrays, run: PairArrays, stored: PairArrays) -> Estimate:
        """Price layers: a kernel launch, then the slower of tensor cores and memory."""
        cycles = self.compute.cycles(layers, run, self.tile.padded_macs(layers))
        moving = self.memory.seconds(self.memory.traffic_bytes(layers, stored))
        seconds = self.compute.overhead_s + np.maximum(cycles / self.compute.clock_hz, moving)
        energy = self.power.energy_j(seconds) if self.power else None
        return Estimate(seconds, energy, seconds * self.compute.clock_hz)
