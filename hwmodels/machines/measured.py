"""A machine that was measured: the time of a layer is a sum of counts, each at a fitted rate.

``qtool targets probe`` writes such files. A layer takes, in the kernel that runs it at its pair,
per_layer_s + per_mac_s * MACs + per_weight_s * weights + ... over all of `measured_features.FEATURES`; an
operator without products takes per_step_s + per_input_s * elements read + per_output_s * elements written.
Rates are what was found: where a narrower pair ran slower than a wider one, it costs more here too.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from hwmodels.arrays import Estimate
from hwmodels.machine import ArrayMachine
from hwmodels.machines.measured_features import FEATURES, KERNELS, features, kernel_of, kind_of_kernel
from hwmodels.machines.measured_operators import OPERATOR_TABLES, OperatorCost, operator_s
from hwmodels.rules import read_arithmetic
from hwmodels.types import Cost, Metric, Precision

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hwmodels.arrays import Floats, LayerArrays, PairArrays
    from hwmodels.elementwise import Elementwise
    from hwmodels.spec import HardwareSpec

WIDTHS = frozenset({2, 4, 8, 16, 32})


@dataclass(frozen=True)
class KernelCost:
    """One table per kernel and pair, such as ``[dense_w8a8]``: seconds per count; what is left out is 0."""

    source: str
    per_layer_s: float = 0.0
    per_group_s: float = 0.0
    per_row_s: float = 0.0
    per_column_s: float = 0.0
    per_mac_s: float = 0.0
    per_padded_mac_s: float = 0.0
    per_ragged_mac_s: float = 0.0
    per_input_s: float = 0.0
    per_gathered_s: float = 0.0
    per_weight_s: float = 0.0
    per_output_s: float = 0.0


@dataclass(frozen=True)
class Measured(ArrayMachine):
    """A machine with fitted rates.

    Attributes:
        kernels: by name of their table, such as ``"dense_w8a8"``.
        operators: by name of their table, such as ``"add_8bit"``.
    """

    kernels: Mapping[str, KernelCost]
    operators: Mapping[str, OperatorCost]

    @classmethod
    def from_spec(cls, spec: HardwareSpec) -> Measured:
        """Build the machine that a file describes.

        Raises:
            SpecError: a table or key is missing, unknown or wrong.
        """
        arithmetic = read_arithmetic(spec, WIDTHS)
        kernels = [
            f"{kernel}_{pair}"
            for kernel in KERNELS
            for pair in arithmetic.by_kind.get(kind_of_kernel(kernel), ())
        ]
        spec.expect(("arithmetic", *kernels, *OPERATOR_TABLES))
        return cls(
            spec.machine.name,
            arithmetic,
            None,
            {name: spec.table(name, KernelCost) for name in kernels},
            {name: spec.table(name, OperatorCost) for name in OPERATOR_TABLES},
        )

    @property
    def measured(self) -> bool:
        """They are."""
        return True

    @property
    def estimated(self) -> frozenset[Metric]:
        """Latency: nothing here measures energy."""
        return frozenset({Metric.LATENCY})

    def estimate(self, layers: LayerArrays, run: PairArrays, stored: PairArrays) -> Estimate:
        """Price layers: counts times rates."""
        kernel = np.array([KERNELS.index(kernel_of(work)) for work in layers.works], dtype=np.intp)
        codes = run.weight * 64 + run.act
        pair = np.searchsorted(self._codes, codes)
        rates = self._rates
        terms = (count * rates[at, kernel[:, np.newaxis], pair] for at, count in enumerate(features(layers)))
        return Estimate(latency_s=np.asarray(sum(terms), dtype=np.float64))

    def elementwise_cost(self, work: Elementwise, in_bits: int, out_bits: int) -> Cost:
        """Price an operator without products, or a conversion."""
        return Cost(latency_s=operator_s(self.operators, work, in_bits, out_bits))

    @cached_property
    def _pairs(self) -> tuple[Precision, ...]:
        return tuple(sorted({pair for pairs in self.arithmetic.by_kind.values() for pair in pairs}))

    @cached_property
    def _codes(self) -> Floats:
        return np.array([pair.weight_bits * 64 + pair.act_bits for pair in self._pairs], dtype=np.float64)

    @cached_property
    def _rates(self) -> Floats:
        """Shape (features, kernels, pairs); 0 where a kernel does not run a pair, which is never asked."""
        costs = [[self.kernels.get(f"{kernel}_{pair}") for pair in self._pairs] for kernel in KERNELS]
        return np.array(
            [[[getattr(cost, name) if cost else 0.0 for cost in row] for row in costs] for name in FEATURES]
        )
