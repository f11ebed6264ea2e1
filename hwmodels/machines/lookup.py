"""Machines that are a table of measurements: a team's own, or a published one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from hwmodels.arrays import Estimate, LayerArrays, PairArrays
from hwmodels.elementwise import VectorUnit
from hwmodels.machine import ArrayMachine
from hwmodels.machines.lookup_source import Lookup, read_entries
from hwmodels.machines.lookup_table import LookupTable
from hwmodels.rules import read_arithmetic
from hwmodels.types import MAX_BITS, Metric, Precision

if TYPE_CHECKING:
    from hwmodels.arrays import Floats
    from hwmodels.rules import Rules
    from hwmodels.spec import HardwareSpec
    from hwmodels.workload import Workload

WIDTHS = frozenset(range(1, MAX_BITS + 1))


@dataclass(frozen=True)
class LookupMachine(ArrayMachine):
    """A table of measured layers.

    A CSV file has the columns ``layer`` or, by shape, ``op,kernel,out_size,stride,in_ch,out_ch,groups``
    (sizes as in ``3x3``), then ``weight_bits,act_bits,latency_s`` and possibly ``energy_j``. An NPY file has
    the axes layer, weight bits - 1, activation bits - 1, and is read by name: networks differ in which layers
    they keep, so a position alone would say little.

    - By name, a layer takes what the table says, whatever its batch; other layers are refused.
    - By shape, a layer takes what its shape takes, times its batch. Another shape is interpolated between the
      two nearest of its kind (Conv, depthwise, ...) in MACs, linear in logarithms; beyond the measured shapes
      time is in proportion to MACs. A kind that was not measured is refused.
    - Precisions between measured ones round up. Every layer must have every pair of ``[arithmetic]``.

    Attributes:
        table: what was measured.
        clock_hz: cycles per second; 0 where the table is in seconds.
        pairs: the pairs along the second axis of the table.
    """

    table: LookupTable
    clock_hz: float
    pairs: tuple[Precision, ...]

    @classmethod
    def from_spec(cls, spec: HardwareSpec) -> LookupMachine:
        """Build the machine that a file describes, and read its table.

        Raises:
            SpecError: a table, key, row or pair is missing, unknown or wrong, or the file cannot be read.
        """
        spec.expect(("arithmetic", "lookup", "elementwise"))
        arithmetic, lookup = read_arithmetic(spec, WIDTHS), spec.table("lookup", Lookup)
        pairs = tuple(sorted({pair for pairs in arithmetic.by_kind.values() for pair in pairs}))
        where = f"{spec.file}: [lookup] table {lookup.table[:80]!r}"
        table = LookupTable.of(read_entries(spec, lookup, pairs, where), pairs, where)
        vector_unit = spec.optional("elementwise", VectorUnit)
        return cls(spec.machine.name, arithmetic, vector_unit, table, lookup.clock_hz, pairs)

    @property
    def layer_names(self) -> tuple[str, ...]:
        """The layers that were measured by name; none for a table by shape."""
        return tuple(key for key in self.table.keys if isinstance(key, str))

    @property
    def measured(self) -> bool:
        """They are."""
        return True

    @property
    def estimated(self) -> frozenset[Metric]:
        """Latency, and energy where it was measured."""
        return frozenset((Metric.LATENCY, Metric.ENERGY)[: self.table.values.shape[2]])

    def rules(self, work: Workload) -> Rules:
        """Return what the machine accepts for a layer.

        Raises:
            UnsupportedError: the layer was not measured, or the machine does not run its kind.
        """
        self.table.check(work, self.name)
        return super().rules(work)

    def precisions(self, work: Workload) -> tuple[Precision, ...]:
        """Return the supported pairs, sorted; errors as for `rules`."""
        return self.rules(work).precisions

    def estimate(self, layers: LayerArrays, run: PairArrays, stored: PairArrays) -> Estimate:
        """Look layers up; storage is as the measured machine had it."""
        for work in layers.works:
            self.table.check(work, self.name)
        measured = np.stack([self.table.row(work) for work in layers.works])
        columns = np.zeros((MAX_BITS + 1, MAX_BITS + 1), dtype=np.intp)
        for at, pair in enumerate(self.pairs):
            columns[pair.weight_bits, pair.act_bits] = at
        column = columns[run.weight.astype(np.intp), run.act.astype(np.intp)]
        found = measured[np.arange(len(measured))[:, np.newaxis], column]
        energy: Floats | None = found[..., 1] if found.shape[-1] > 1 else None
        cycles: Floats | None = found[..., 0] * self.clock_hz if self.clock_hz else None
        return Estimate(found[..., 0], energy, cycles)
