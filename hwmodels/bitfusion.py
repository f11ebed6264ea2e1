"""BitFusion (Sharma et al., ISCA 2018): an array of fusion units that multiply narrow operands in parallel.

A fusion unit has 16 bricks of 2 x 2 bits. At 8 x 8 bits they make one product per cycle; a side of 4 bits
doubles, a side of 2 bits quadruples the products, and a side of 16 bits takes two cycles.

This is the ideal machine: every tensor crosses the memory interface once, at its own width. The next layer is
unknown here, so outputs are stored at the activation width of the layer itself. The authors' public simulator
charges 64 bits for every output element instead, which makes its low precisions look worse.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hwmodels.bitfusion_array import Array, compute_cycles, dram_bits
from hwmodels.bitfusion_energy import CoreEnergy, DramEnergy, EnergyModel, SramEnergy
from hwmodels.model import narrowest_cover
from hwmodels.tables import Arithmetic, read_arithmetic
from hwmodels.types import Cost, Metric, Precision

if TYPE_CHECKING:
    from hwmodels.spec import HardwareSpec
    from hwmodels.workload import Workload

WIDTHS = frozenset({2, 4, 8, 16})
ENERGY_TABLES = ("core_energy", "sram_energy", "dram_energy")


@dataclass(frozen=True)
class BitFusion:
    """A BitFusion array with its memory interface; without energy tables it does not estimate energy."""

    name: str
    arithmetic: Arithmetic
    array: Array
    energy: EnergyModel | None

    @classmethod
    def from_spec(cls, spec: HardwareSpec) -> BitFusion:
        """Build the machine that a file describes.

        Raises:
            SpecError: a table or key is missing, unknown or wrong, or only some energy tables are given.
        """
        spec.expect(("arithmetic", "array", *ENERGY_TABLES))
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
        return cls(spec.machine.name, arithmetic, array, energy)

    @property
    def metrics(self) -> frozenset[Metric]:
        """Latency, BOPs and weight bytes, and energy where the file has its tables."""
        always = frozenset({Metric.LATENCY, Metric.BOPS, Metric.WEIGHT_BYTES})
        return always | {Metric.ENERGY} if self.energy else always

    @property
    def additive(self) -> frozenset[Metric]:
        """All metrics: layers run one after the other."""
        return self.metrics

    @property
    def rounding(self) -> str:
        """How an accumulator is rounded when it is rescaled."""
        return self.arithmetic.rounding

    @property
    def accumulator_bits(self) -> int:
        """Bits of the register that sums products."""
        return self.arithmetic.accumulator_bits

    @property
    def shared_parameter_ops(self) -> frozenset[str]:
        """Operators whose operands must have equal scales and zero points."""
        return frozenset(self.arithmetic.shared_parameter_ops)

    def precisions(self, work: Workload) -> tuple[Precision, ...]:
        """Return the supported pairs, sorted; the same for every layer."""
        return self.arithmetic.precisions

    def round_up(self, work: Workload, precision: Precision) -> Precision:
        """Return the supported pair with the fewest bit products that covers ``precision``.

        Raises:
            UnsupportedError: no supported pair covers it.
        """
        return narrowest_cover(self.precisions(work), precision, f"{self.name}: layer {work.name!r}")

    def cost(self, work: Workload, precision: Precision) -> Cost:
        """Price one layer: the slower of array and memory interface sets its time.

        The array works at the supported pair; memory holds and moves values at the width asked for.

        Raises:
            UnsupportedError: no supported pair covers ``precision``.
        """
        pair = self.round_up(work, precision)
        memory_cycles = math.ceil(dram_bits(work, precision) / self.array.dram_bits_per_cycle)
        cycles = max(compute_cycles(work, pair, self.array), memory_cycles)
        return Cost(
            latency_s=cycles / self.array.clock_hz,
            energy_j=self.energy.energy_j(work, precision, pair, cycles) if self.energy else None,
            weight_bytes=work.weight_bytes(precision),
            bops=work.bops(precision),
            cycles=cycles,
            priced_as=pair,
        )
