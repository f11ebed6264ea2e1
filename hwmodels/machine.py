"""`ArrayMachine`: what all built-in machines share; an architecture adds its formulas and nothing else."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from hwmodels.arrays import Estimate, LayerArrays, PairArrays
from hwmodels.elementwise import Elementwise, VectorUnit
from hwmodels.model import narrowest_cover
from hwmodels.rules import Arithmetic, Rules, kind_of
from hwmodels.types import FLOAT, Cost, Metric, Precision
from hwmodels.workload import MULTIPLIED_BITS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hwmodels.arrays import Floats
    from hwmodels.workload import Workload

COUNTED = frozenset({Metric.WEIGHT_BYTES, Metric.PEAK_MEMORY, Metric.BOPS})
"""Metrics that follow from a layer and its precision alone, on every machine."""


@dataclass(frozen=True)
class ArrayMachine(ABC):
    """A machine that prices many layers at many precisions with one formula.

    BOPs are MACs * weight bits * activation bits as asked for. Weights and activations take the bits that the
    machine stores: those asked for where storage is packed, else those of the supported pair. The peak memory
    of a layer is what it reads and writes.

    Attributes:
        name: the name that requests and reports use.
        arithmetic: what the machine computes with.
        vector_unit: what prices conversions and layers without products; ``None`` where they cost nothing.
    """

    name: str
    arithmetic: Arithmetic
    vector_unit: VectorUnit | None

    @abstractmethod
    def estimate(self, layers: LayerArrays, run: PairArrays, stored: PairArrays) -> Estimate:
        """Price layers; the same metrics for every call.

        Args:
            layers: geometry, columns of shape (layers, 1).
            run: the supported pairs at which the machine computes.
            stored: the widths at which memory holds and moves values.
        """

    @property
    @abstractmethod
    def estimated(self) -> frozenset[Metric]:
        """The metrics that `estimate` fills, out of latency and energy."""

    @property
    def measured(self) -> bool:
        """Whether prices are measurements, of which some may rise where bits fall."""
        return False

    @property
    def metrics(self) -> frozenset[Metric]:
        """What can be counted on every machine, and what this one estimates."""
        return COUNTED | self.estimated

    @property
    def additive(self) -> frozenset[Metric]:
        """All but peak memory, which depends on what is alive together; layers run one after the other."""
        return self.metrics - {Metric.PEAK_MEMORY}

    @property
    def rounding(self) -> str:
        """How an accumulator is rounded when it is rescaled."""
        return self.arithmetic.rounding

    @property
    def requantization(self) -> str:
        """How an accumulator is multiplied by a real number."""
        return self.arithmetic.requantization

    @property
    def accumulator_bits(self) -> int:
        """Bits of the register that sums products."""
        return self.arithmetic.accumulator_bits

    @property
    def shared_parameter_ops(self) -> frozenset[str]:
        """Operators whose operands must have equal scales and zero points."""
        return frozenset(self.arithmetic.shared_parameter_ops)

    def rules(self, work: Workload) -> Rules:
        """Return what the machine accepts for a layer.

        Raises:
            UnsupportedError: the machine does not run this kind of layer.
        """
        return self.arithmetic.rules(work, self.name)

    def precisions(self, work: Workload) -> tuple[Precision, ...]:
        """Return the supported pairs, sorted; errors as for `rules`."""
        return self.arithmetic.supported(work, self.name)

    def round_up(self, work: Workload, precision: Precision) -> Precision:
        """Return the supported pair with the fewest bit products that covers ``precision``.

        Raises:
            UnsupportedError: no supported pair covers it, or the machine does not run this kind of layer.
        """
        return narrowest_cover(self.precisions(work), precision, f"{self.name}: layer {work.name!r}")

    def cost(self, work: Workload, precision: Precision) -> Cost:
        """Price one layer; errors as for `round_up`."""
        return self.costs([work], [precision])[0]

    def costs(self, works: Sequence[Workload], precisions: Sequence[Precision]) -> tuple[Cost, ...]:
        """Price each layer at its own precision; errors as for `round_up`."""
        asked = PairArrays.column(precisions)
        run = self._run(works, asked)
        columns = {name: values[:, 0].tolist() for name, values in self._priced(works, asked, run).items()}
        pairs = zip(run.weight[:, 0].tolist(), run.act[:, 0].tolist(), strict=True)
        return tuple(
            Cost(
                priced_as=Precision(int(weight), int(act)), **{k: column[at] for k, column in columns.items()}
            )
            for at, (weight, act) in enumerate(pairs)
        )

    def prices(self, works: Sequence[Workload], precisions: Sequence[Precision]) -> dict[Metric, Floats]:
        """Price every layer at every precision: per metric an array of shape (layers, precisions).

        Raises:
            UnsupportedError: as for `round_up`.
        """
        asked = PairArrays.row(precisions)
        priced = self._priced(works, asked, self._run(works, asked))
        return {metric: priced[metric.value] for metric in Metric if metric in self.metrics}

    def elementwise_cost(self, work: Elementwise, in_bits: int, out_bits: int) -> Cost:
        """Price an operator without products, or a conversion; nothing without a vector unit.

        Where memory holds containers, widths of one container need no conversion: the operator before writes
        either.
        """
        in_bits, out_bits = self._stored_act_bits(in_bits), self._stored_act_bits(out_bits)
        latency, energy = self.vector_unit.price(work, in_bits, out_bits) if self.vector_unit else (0.0, 0.0)
        return Cost(
            latency_s=latency if Metric.LATENCY in self.estimated else None,
            energy_j=energy if Metric.ENERGY in self.estimated else None,
        )

    def _stored_act_bits(self, bits: int) -> int:
        wider = [known for known in self.arithmetic.act_widths if known >= bits]
        return bits if self.arithmetic.packed_storage else min(wider, default=bits)

    def _priced(self, works: Sequence[Workload], asked: PairArrays, run: PairArrays) -> dict[str, Floats]:
        """Return every quantity of `Cost` that is known, by name, each of shape (layers, pairs)."""
        layers = LayerArrays.of(works)
        stored = asked if self.arithmetic.packed_storage else run
        found = self.estimate(layers, self._speeds(run), stored)
        read, written = layers.in_elements + layers.rhs_elements, layers.out_elements
        quantities = {
            "latency_s": found.latency_s,
            "energy_j": found.energy_j,
            "cycles": found.cycles,
            "compute_s": found.compute_s,
            "memory_s": found.memory_s,
            "traffic_bytes": found.traffic_bytes,
            "on_chip_j": found.on_chip_j,
            "off_chip_j": found.off_chip_j,
            "weight_bytes": self._weight_bytes(layers, stored)
            + layers.multiplier_count * (asked.weight <= MULTIPLIED_BITS),
            "peak_memory_bytes": np.ceil(read * stored.act / 8) + np.ceil(written * stored.act / 8),
            "bops": layers.macs * asked.weight * asked.act,
        }
        shape = np.broadcast_shapes(layers.rows.shape, asked.weight.shape)
        return {name: np.broadcast_to(it, shape) for name, it in quantities.items() if it is not None}

    def _weight_bytes(self, layers: LayerArrays, stored: PairArrays) -> Floats:
        """Return the bytes of weights as stored; where memory holds containers, those of levels."""
        if not self.arithmetic.packed_storage:
            return np.ceil(layers.weight_count * stored.weight / 8)
        bits = np.where(layers.index_bits > 0, layers.index_bits, stored.weight)
        return np.ceil(layers.weight_count * bits / 8) + layers.table_bytes

    def _speeds(self, run: PairArrays) -> PairArrays:
        """Return the pairs whose speed counts: floats run as fast as some pair of integers."""
        rates = self.arithmetic.float_rates
        if rates is None:
            return run
        floats = run.weight == FLOAT.weight_bits
        pairs = ((run.weight, rates.weight_bits), (run.act, rates.act_bits))
        return PairArrays(*(np.where(floats, bits, values) for values, bits in pairs))

    def _run(self, works: Sequence[Workload], asked: PairArrays) -> PairArrays:
        """Round pairs up, once per kind of layer and distinct pair rather than once per price."""
        kinds: dict[str, Workload] = {}
        for work in works:
            kinds.setdefault(kind_of(work), work)
        order = {kind: at for at, kind in enumerate(kinds)}
        kind = np.array([order[kind_of(work)] for work in works], dtype=np.intp)[:, np.newaxis]
        pairs, which = np.unique(
            np.stack([asked.weight, asked.act]).reshape(2, -1).T, axis=0, return_inverse=True
        )
        precisions = [Precision(int(weight), int(act)) for weight, act in pairs]
        rounded = [[self.round_up(work, it) for it in precisions] for work in kinds.values()]
        table = np.array([[(it.weight_bits, it.act_bits) for it in row] for row in rounded], dtype=np.float64)
        found = table.reshape(len(kinds), len(precisions), 2)[kind, which.reshape(asked.weight.shape)]
        return PairArrays(found[..., 0], found[..., 1])
