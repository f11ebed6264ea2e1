"""A machine that only counts: bit operations, weight storage and activation memory, without a clock."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hwmodels.model import narrowest_cover
from hwmodels.tables import Arithmetic, read_arithmetic
from hwmodels.types import Cost, Metric, Precision

if TYPE_CHECKING:
    from hwmodels.spec import HardwareSpec
    from hwmodels.workload import Workload

WIDTHS = frozenset({*range(1, 9), 16})


@dataclass(frozen=True)
class Generic:
    """Prices by definition, so it holds for every machine and predicts the time and energy of none.

    BOPs are MACs * weight bits * activation bits; weights are packed to whole bytes; the memory of a layer is
    what it reads and writes.
    """

    name: str
    arithmetic: Arithmetic

    @classmethod
    def from_spec(cls, spec: HardwareSpec) -> Generic:
        """Build the machine that a file describes.

        Raises:
            SpecError: a table or key is missing, unknown or wrong.
        """
        spec.expect(("arithmetic",))
        return cls(spec.machine.name, read_arithmetic(spec, WIDTHS))

    @property
    def metrics(self) -> frozenset[Metric]:
        """What can be counted without knowing the machine."""
        return frozenset({Metric.BOPS, Metric.WEIGHT_BYTES, Metric.PEAK_MEMORY})

    @property
    def additive(self) -> frozenset[Metric]:
        """All but peak memory, which depends on what is alive together."""
        return frozenset({Metric.BOPS, Metric.WEIGHT_BYTES})

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
        """Count one layer at exactly ``precision``; ``priced_as`` says which pair would run it.

        Raises:
            UnsupportedError: no supported pair covers ``precision``.
        """
        read_and_written = (work.in_elements + work.rhs_elements, work.out_elements)
        memory = sum(-(-elements * precision.act_bits // 8) for elements in read_and_written)
        return Cost(
            weight_bytes=work.weight_bytes(precision),
            bops=work.bops(precision),
            peak_memory_bytes=memory,
            priced_as=self.round_up(work, precision),
        )
