"""What every machine can be asked, and what follows from the answers: tables and the cost of a network."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np

from hwmodels.errors import HardwareError, UnsupportedError
from hwmodels.types import Cost, Metric, NetworkCost, Precision

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from numpy.typing import NDArray

    from hwmodels.schedule import Schedule
    from hwmodels.workload import Workload


@runtime_checkable
class HardwareModel(Protocol):
    """A machine: what it can run and what that costs."""

    @property
    def name(self) -> str:
        """The name that requests and reports use."""

    @property
    def metrics(self) -> frozenset[Metric]:
        """What the machine estimates: exactly the quantities that `cost` fills."""

    @property
    def additive(self) -> frozenset[Metric]:
        """The metrics of a network that are the sum over its layers."""

    @property
    def rounding(self) -> str:
        """How the machine rounds when it rescales an accumulator, such as ``"half_even"``."""

    @property
    def accumulator_bits(self) -> int:
        """Bits of the register that sums products."""

    @property
    def shared_parameter_ops(self) -> frozenset[str]:
        """Operators whose operands must have equal scales and zero points here, such as ``"Add"``."""

    def precisions(self, work: Workload) -> tuple[Precision, ...]:
        """Return the pairs that the machine runs this layer at, sorted, at least one."""

    def round_up(self, work: Workload, precision: Precision) -> Precision:
        """Return the cheapest supported pair that covers ``precision``.

        Raises:
            UnsupportedError: no supported pair covers it.
        """

    def cost(self, work: Workload, precision: Precision) -> Cost:
        """Price one layer; a pair that is not supported is priced as `round_up` says.

        Raises:
            UnsupportedError: no supported pair covers ``precision``.
        """


@runtime_checkable
class PricesNetworks(Protocol):
    """A machine whose network cost is more than a sum, for instance through conversions between layers."""

    def network_cost(
        self, works: Sequence[Workload], precisions: Sequence[Precision], schedule: Schedule | None
    ) -> NetworkCost:
        """Price a whole network; see the function of the same name."""


def narrowest_cover(supported: Collection[Precision], precision: Precision, where: str) -> Precision:
    """Return the supported pair with the fewest bit products per MAC that covers ``precision``.

    Args:
        supported: what the machine runs.
        precision: what was asked for.
        where: machine and layer, for the message.

    Raises:
        UnsupportedError: no supported pair covers ``precision``.
    """
    if precision in supported:
        return precision
    covering = [pair for pair in supported if pair.covers(precision)]
    if not covering:
        known = ", ".join(str(pair) for pair in sorted(supported))
        raise UnsupportedError(f"{where}: no supported precision covers {precision}; supported are {known}")
    return min(covering, key=lambda pair: (pair.weight_bits * pair.act_bits, pair))


def price_table(
    model: HardwareModel, works: Sequence[Workload], precisions: Sequence[Precision]
) -> dict[Metric, NDArray[np.float64]]:
    """Price every layer at every precision.

    Returns:
        For each metric of the model, in the order of `Metric`, an array of shape (layers, precisions).

    Raises:
        UnsupportedError: the machine cannot run a layer at one of the precisions.
        HardwareError: the model leaves a metric empty that it says it estimates.
    """
    costs = [[model.cost(work, precision) for precision in precisions] for work in works]
    shape = (len(works), len(precisions))
    return {
        metric: np.array(
            [[_filled(cost, metric, model.name) for cost in row] for row in costs], dtype=np.float64
        ).reshape(shape)
        for metric in Metric
        if metric in model.metrics
    }


def network_cost(
    model: HardwareModel,
    works: Sequence[Workload],
    precisions: Sequence[Precision],
    schedule: Schedule | None = None,
) -> NetworkCost:
    """Price a network in which layer ``i`` runs at ``precisions[i]``.

    Additive metrics are summed. Peak memory comes from the schedule, where the machine estimates it and a
    schedule is given. Everything else is ``None``. A model that has its own ``network_cost`` answers itself.

    Raises:
        HardwareError: there are not as many precisions as layers.
        UnsupportedError: the machine cannot run a layer at its precision.
    """
    if len(works) != len(precisions):
        raise HardwareError(
            f"{model.name}: expected {len(works)} precisions, one per layer, found {len(precisions)}"
        )
    if isinstance(model, PricesNetworks):
        return model.network_cost(works, precisions, schedule)
    layers = tuple(model.cost(work, precision) for work, precision in zip(works, precisions, strict=True))
    knows_peak = schedule is not None and Metric.PEAK_MEMORY in model.metrics
    total = Cost(
        latency_s=_sum(model, layers, Metric.LATENCY),
        energy_j=_sum(model, layers, Metric.ENERGY),
        weight_bytes=_sum(model, layers, Metric.WEIGHT_BYTES),
        bops=_sum(model, layers, Metric.BOPS),
        peak_memory_bytes=schedule.peak_bytes() if schedule and knows_peak else None,
        # Where latency does not sum up, layers overlap and their cycles do not sum up either.
        cycles=_total([layer.cycles for layer in layers]) if Metric.LATENCY in model.additive else None,
    )
    return NetworkCost(total, layers)


def _filled(cost: Cost, metric: Metric, name: str) -> float:
    value = cost.get(metric)
    if value is None:
        raise HardwareError(
            f"{name}: the model lists {metric.value} among its metrics but does not estimate it"
        )
    return value


def _sum(model: HardwareModel, layers: Sequence[Cost], metric: Metric) -> float | None:
    return _total([layer.get(metric) for layer in layers]) if metric in model.additive else None


def _total(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return math.fsum(known) if len(known) == len(values) else None
