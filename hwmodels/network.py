"""What follows from the prices of layers: tables of layers and precisions, and the cost of a network."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from hwmodels.errors import HardwareError
from hwmodels.model import HardwareModel, PricesArrays, PricesElementwise, PricesNetworks
from hwmodels.types import Cost, Metric, NetworkCost, Precision

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from hwmodels.elementwise import ElementwiseStep
    from hwmodels.schedule import Schedule
    from hwmodels.workload import Workload


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
    if isinstance(model, PricesArrays):
        return model.prices(works, precisions)
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
    elementwise: Sequence[ElementwiseStep] = (),
) -> NetworkCost:
    """Price a network in which layer ``i`` runs at ``precisions[i]``.

    Additive metrics are summed over layers, conversions and other elementwise operators; a machine that does
    not price the latter has them for nothing. Peak memory comes from the schedule, where there is one.
    A quantity that is not known is ``None``. A model that has its own ``network_cost`` answers itself.

    Raises:
        HardwareError: there are not as many precisions as layers.
        UnsupportedError: the machine cannot run a layer at its precision.
    """
    if len(works) != len(precisions):
        raise HardwareError(
            f"{model.name}: expected {len(works)} precisions, one per layer, found {len(precisions)}"
        )
    if isinstance(model, PricesNetworks):
        return model.network_cost(works, precisions, schedule, elementwise)
    layers = _layer_costs(model, works, precisions)
    between = _elementwise_costs(model, elementwise)
    knows_peak = schedule is not None and Metric.PEAK_MEMORY in model.metrics
    total = Cost(
        latency_s=_sum(model, layers, between, Metric.LATENCY),
        energy_j=_sum(model, layers, between, Metric.ENERGY),
        weight_bytes=_sum(model, layers, (), Metric.WEIGHT_BYTES),
        bops=_sum(model, layers, (), Metric.BOPS),
        peak_memory_bytes=schedule.peak_bytes() if schedule and knows_peak else None,
        # Where latency does not sum up, layers overlap and their cycles do not sum up either.
        cycles=_total([layer.cycles for layer in layers]) if Metric.LATENCY in model.additive else None,
    )
    return NetworkCost(total, layers, between)


def _layer_costs(
    model: HardwareModel, works: Sequence[Workload], precisions: Sequence[Precision]
) -> tuple[Cost, ...]:
    if isinstance(model, PricesArrays):
        return model.costs(works, precisions)
    return tuple(model.cost(work, precision) for work, precision in zip(works, precisions, strict=True))


def _elementwise_costs(model: HardwareModel, steps: Sequence[ElementwiseStep]) -> tuple[Cost, ...]:
    if not isinstance(model, PricesElementwise):
        return ()
    return tuple(model.elementwise_cost(step.work, step.in_bits, step.out_bits) for step in steps)


def _filled(cost: Cost, metric: Metric, name: str) -> float:
    value = cost.get(metric)
    if value is None:
        raise HardwareError(
            f"{name}: the model lists {metric.value} among its metrics but does not estimate it"
        )
    return value


def _sum(
    model: HardwareModel, layers: Sequence[Cost], between: Sequence[Cost], metric: Metric
) -> float | None:
    return _total([cost.get(metric) for cost in (*layers, *between)]) if metric in model.additive else None


def _total(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return math.fsum(known) if len(known) == len(values) else None
