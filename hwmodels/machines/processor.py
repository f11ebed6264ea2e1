"""Processor cores with vector instructions that sum products of bytes, such as VPDPBUSD and SDOT."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from hwmodels.arrays import Estimate, LayerArrays, PairArrays
from hwmodels.elementwise import VectorUnit
from hwmodels.machine import ArrayMachine
from hwmodels.machines.compute import Compute, read_compute
from hwmodels.machines.roofline import Memory
from hwmodels.machines.tiles import Tile
from hwmodels.rules import read_arithmetic
from hwmodels.types import Metric

if TYPE_CHECKING:
    from hwmodels.spec import HardwareSpec

WIDTHS = frozenset({2, 4, 6, 7, 8, 16})


@dataclass(frozen=True, slots=True)
class Epilogue:
    """Table ``[epilogue]``: rescaling one accumulator and storing the result."""

    output_cycles: float
    source: str


@dataclass(frozen=True)
class Processor(ArrayMachine):
    """One core of a processor that runs a blocked matrix product behind a cache.

    latency = overhead + max(cycles / clock, traffic / bandwidth), where cycles = padded MACs / rate(w, a) +
    outputs * epilogue. Weights below the width of the instruction are widened in registers at no cost that
    shows in a matrix product, so they gain speed only where memory is the bound. The measured rate of
    depthwise layers has their epilogue in it.

    Attributes:
        compute: rates and the time to start a layer.
        tile: the block of accumulators that the kernel holds in registers.
        memory: the last cache and the memory behind it.
        epilogue: what every output costs.
    """

    compute: Compute
    tile: Tile
    memory: Memory
    epilogue: Epilogue

    @classmethod
    def from_spec(cls, spec: HardwareSpec) -> Processor:
        """Build the machine that a file describes.

        Raises:
            SpecError: a table or key is missing, unknown or wrong.
        """
        spec.expect(("arithmetic", "compute", "tile", "memory", "epilogue", "elementwise"))
        arithmetic = read_arithmetic(spec, WIDTHS)
        return cls(
            spec.machine.name,
            arithmetic,
            spec.optional("elementwise", VectorUnit),
            read_compute(spec, arithmetic),
            spec.table("tile", Tile),
            spec.table("memory", Memory),
            spec.table("epilogue", Epilogue),
        )

    @property
    def estimated(self) -> frozenset[Metric]:
        """Latency; no energy per operation of such a core is published."""
        return frozenset({Metric.LATENCY})

    def estimate(self, layers: LayerArrays, run: PairArrays, stored: PairArrays) -> Estimate:
        """Price layers: the slower of vector units and memory, since cores prefetch while they compute."""
        cycles = self.compute.cycles(layers, run, self.tile.padded_macs(layers))
        dense = layers.depthwise == 0
        cycles = cycles + np.where(dense, layers.out_elements * self.epilogue.output_cycles, 0.0)
        moving = self.memory.seconds(self.memory.traffic_bytes(layers, stored))
        seconds = self.compute.overhead_s + np.maximum(cycles / self.compute.clock_hz, moving)
        return Estimate(seconds, None, seconds * self.compute.clock_hz)
