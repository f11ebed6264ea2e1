"""What tensor cores, processor cores and matrix engines share: products in blocks, beside one memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self

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
    from hwmodels.arrays import Floats
    from hwmodels.spec import HardwareSpec


@dataclass(frozen=True, slots=True)
class Epilogue:
    """Table ``[epilogue]``: rescaling one accumulator and storing the result."""

    output_cycles: float
    source: str


@dataclass(frozen=True)
class BlockedMachine(ArrayMachine):
    """latency = overhead + max(padded MACs / rate(w, a) / clock, traffic / bandwidth).

    Where the file has them, dense outputs add the cycles of an epilogue, and energy = power * latency.

    Attributes:
        compute: rates and the time to start a layer.
        tile: the block of products that is computed at once.
        memory: what is on the chip, and the memory behind it.
        epilogue: what every output costs; ``None`` where the rates have it in them.
        power: what the machine draws; ``None`` where there is no estimate.
    """

    widths: ClassVar[frozenset[int]] = frozenset({4, 8, 16})
    """Bits of operands that the architecture can be built for."""

    compute: Compute
    tile: Tile
    memory: Memory
    epilogue: Epilogue | None
    power: Power | None

    @classmethod
    def from_spec(cls, spec: HardwareSpec) -> Self:
        """Build the machine that a file describes.

        Raises:
            SpecError: a table or key is missing, unknown or wrong.
        """
        spec.expect(("arithmetic", "compute", "tile", "memory", "epilogue", "elementwise", "power"))
        arithmetic = read_arithmetic(spec, cls.widths)
        return cls(
            name=spec.machine.name,
            arithmetic=arithmetic,
            vector_unit=spec.optional("elementwise", VectorUnit),
            compute=read_compute(spec, arithmetic),
            tile=spec.table("tile", Tile),
            memory=spec.table("memory", Memory),
            epilogue=spec.optional("epilogue", Epilogue),
            power=spec.optional("power", Power),
        )

    @property
    def estimated(self) -> frozenset[Metric]:
        """Latency, and energy where the file has a power."""
        return frozenset({Metric.LATENCY, Metric.ENERGY} if self.power else {Metric.LATENCY})

    def estimate(self, layers: LayerArrays, run: PairArrays, stored: PairArrays) -> Estimate:
        """Price layers: the slower of arithmetic and memory, which overlap."""
        moved = self.traffic_bytes(layers, stored)
        moving, busy = self.memory.seconds(moved), self.cycles(layers, run) / self.compute.clock_hz
        seconds = self.compute.overhead_s + np.maximum(busy, moving)
        energy = self.power.energy_j(seconds) if self.power else None
        return Estimate(seconds, energy, seconds * self.compute.clock_hz, busy, moving, moved)

    def cycles(self, layers: LayerArrays, run: PairArrays) -> Floats:
        """Return the cycles of the arithmetic, blocks padded."""
        products = self.compute.cycles(layers, run, self.tile.padded_macs(layers))
        if self.epilogue is None:
            return products
        return products + np.where(
            layers.depthwise > 0, 0.0, layers.out_elements * self.epilogue.output_cycles
        )

    def traffic_bytes(self, layers: LayerArrays, stored: PairArrays) -> Floats:
        """Return the bytes that cross the interface to memory."""
        return self.memory.traffic_bytes(layers, stored)
