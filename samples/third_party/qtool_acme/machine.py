"""The accelerator of Acme: 64 bit-serial multipliers behind one memory port."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hwmodels import Metric
from hwmodels.arrays import Estimate, LayerArrays, PairArrays
from hwmodels.elementwise import VectorUnit
from hwmodels.machine import ArrayMachine
from hwmodels.rules import Arithmetic

ARITHMETIC = Arithmetic(
    accumulator_bits=32, rounding="half_even", source="data sheet", pairs=("w4a8", "w8a8")
)
VECTOR_UNIT = VectorUnit(elements_per_s=8e9, memory_bytes_per_s=4e9, source="data sheet")


@dataclass(frozen=True)
class Acme(ArrayMachine):
    """Latency is max(MACs * weight bits / 64 per cycle, bits moved / 32 per cycle) at 1 GHz."""

    @property
    def estimated(self) -> frozenset[Metric]:
        """Latency only."""
        return frozenset({Metric.LATENCY})

    def estimate(self, layers: LayerArrays, run: PairArrays, stored: PairArrays) -> Estimate:
        """Price layers at the supported pairs `run`, of shape (layers, pairs)."""
        compute = layers.macs * run.weight / 64
        traffic = (layers.activations * stored.act + layers.weight_count * stored.weight) / 32
        cycles = np.maximum(compute, traffic)
        return Estimate(latency_s=cycles / 1e9, cycles=cycles)


def machine() -> Acme:
    """Return the machine; an entry point of the group qtool.hwmodels names this function."""
    return Acme("acme", ARITHMETIC, VECTOR_UNIT)
