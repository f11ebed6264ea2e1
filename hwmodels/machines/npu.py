"""Neural processing units with a matrix engine and a scratchpad that software manages."""

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
    from hwmodels.arrays import Floats
    from hwmodels.spec import HardwareSpec

WIDTHS = frozenset({4, 8, 16})


@dataclass(frozen=True)
class Npu(ArrayMachine):
    """A matrix engine with a scratchpad that keeps activations between layers where they fit.

    latency = overhead + max(padded MACs / rate(w, a) / clock, traffic / bandwidth). The compiler places a
    layer's inputs and outputs in the scratchpad where both fit together, and then only weights cross the
    memory interface; otherwise everything does. Narrow weights are widened on the way into the engine, so
    they gain speed only where memory is the bound.

    Attributes:
        compute: rates and the time to start a layer.
        tile: the block of the matrix engine.
        memory: the scratchpad and the memory behind it.
    """

    compute: Compute
    tile: Tile
    memory: Memory

    @classmethod
    def from_spec(cls, spec: HardwareSpec) -> Npu:
        """Build the machine that a file describes.

        Raises:
            SpecError: a table or key is missing, unknown or wrong.
        """
        spec.expect(("arithmetic", "compute", "tile", "memory", "elementwise"))
        arithmetic = read_arithmetic(spec, WIDTHS)
        return cls(
            spec.machine.name,
            arithmetic,
            spec.optional("elementwise", VectorUnit),
            read_compute(spec, arithmetic),
            spec.table("tile", Tile),
            spec.table("memory", Memory),
        )

    @property
    def estimated(self) -> frozenset[Metric]:
        """Latency; no energy per operation of such a unit is published."""
        return frozenset({Metric.LATENCY})

    def estimate(self, layers: LayerArrays, run: PairArrays, stored: PairArrays) -> Estimate:
        """Price layers: the slower of engine and memory, since transfers overlap with work."""
        cycles = self.compute.cycles(layers, run, self.tile.padded_macs(layers))
        moving = self.memory.seconds(self._traffic_bytes(layers, stored))
        seconds = self.compute.overhead_s + np.maximum(cycles / self.compute.clock_hz, moving)
        return Estimate(seconds, None, seconds * self.compute.clock_hz)

    def _traffic_bytes(self, layers: LayerArrays, stored: PairArrays) -> Floats:
        """Only weights move where the activations of a layer stay in the scratchpad."""
        moved = self.memory.traffic_bytes(layers, stored)
        activations = layers.activations * stored.act / 8
        return np.where(activations <= self.memory.on_chip_bytes, moved - activations, moved)
