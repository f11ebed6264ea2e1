"""A machine that only counts: bit operations, weight storage and activation memory, without a clock."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hwmodels.arrays import Estimate, LayerArrays, PairArrays
from hwmodels.machine import ArrayMachine
from hwmodels.rules import read_arithmetic

if TYPE_CHECKING:
    from hwmodels.spec import HardwareSpec
    from hwmodels.types import Metric

WIDTHS = frozenset({*range(1, 9), 16})


@dataclass(frozen=True)
class Generic(ArrayMachine):
    """Prices by definition, so it holds for every machine and predicts the time and energy of none."""

    @classmethod
    def from_spec(cls, spec: HardwareSpec) -> Generic:
        """Build the machine that a file describes.

        Raises:
            SpecError: a table or key is missing, unknown or wrong.
        """
        spec.expect(("arithmetic",))
        return cls(spec.machine.name, read_arithmetic(spec, WIDTHS), None)

    @property
    def estimated(self) -> frozenset[Metric]:
        """Nothing."""
        return frozenset()

    def estimate(self, layers: LayerArrays, run: PairArrays, stored: PairArrays) -> Estimate:
        """Return nothing: there is no clock."""
        return Estimate()
