"""What a machine may say without breaking a promise, but what no real machine is likely to do."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

from hwmodels.elementwise import Elementwise
from hwmodels.errors import UnsupportedError
from hwmodels.model import PricesElementwise
from hwmodels.testing import rising, samples
from hwmodels.types import Metric, Precision

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hwmodels.model import HardwareModel
    from hwmodels.types import Cost
    from hwmodels.workload import Workload

MACS_PER_S = 1e5, 1e16
"""From a microcontroller that emulates products to a rack."""
JOULES_PER_MAC = 1e-15, 1e-7
"""From a two-bit product at the edge of technology to a depthwise layer bound by DRAM."""
SUPERLINEAR = 1.5
"""Factor by which a gain may exceed the gain in bit products: a layer that fits a buffer at last."""


def implausible(model: HardwareModel) -> list[str]:
    """Return remarks on prices that are worth a second look, in words; empty for a machine that has none."""
    found: list[str] = []
    for work in samples(model):
        try:
            costs = {pair: model.cost(work, pair) for pair in model.precisions(work)}
        except UnsupportedError:
            continue
        remarks = (
            *_scales(work, costs),
            *_gains(work, costs),
            *_conversions(model, work, costs),
            *rising(model, work),
        )
        found.extend(f"{work.name}: {remark}" for remark in remarks)
    return found


def _scales(work: Workload, costs: dict[Precision, Cost]) -> Iterator[str]:
    for pair, cost in costs.items():
        rate = work.macs / cost.latency_s if cost.latency_s else None
        if rate is not None and not MACS_PER_S[0] <= rate <= MACS_PER_S[1]:
            yield f"{rate:.3g} MACs per second at {pair}; check the units of clocks and rates"
        energy = cost.energy_j / work.macs if cost.energy_j else None
        if energy is not None and not JOULES_PER_MAC[0] <= energy <= JOULES_PER_MAC[1]:
            yield f"{energy:.3g} J per MAC at {pair}; check the units of energies"


def _gains(work: Workload, costs: dict[Precision, Cost]) -> Iterator[str]:
    """Bits can gain at most their product, and a machine on which they gain nothing needs no allocation."""
    for metric in (Metric.LATENCY, Metric.ENERGY):
        values = {pair: value for pair, cost in costs.items() if (value := cost.get(metric))}
        worst: tuple[float, str] = (SUPERLINEAR, "")
        for narrow, wide in product(values, repeat=2):
            if wide.covers(narrow):
                bits = wide.weight_bits * wide.act_bits / (narrow.weight_bits * narrow.act_bits)
                excess = values[wide] / values[narrow] / bits
                worst = max(worst, (excess, f"from {wide} to {narrow}"))
        if worst[1]:
            yield f"{metric.value} gains {worst[0]:.2g} times more than bit products do {worst[1]}"


def _conversions(model: HardwareModel, work: Workload, costs: dict[Precision, Cost]) -> Iterator[str]:
    """Converting what a layer reads should not take longer than the layer."""
    if not isinstance(model, PricesElementwise) or work.macs < 64 * work.in_elements:
        return
    widest = max(costs)
    conversion = model.elementwise_cost(Elementwise.conversion(work.name, work.in_elements), 16, 8)
    if conversion.latency_s and conversion.latency_s > (costs[widest].latency_s or float("inf")):
        yield f"converting its input takes {conversion.latency_s:.3g} s, longer than the layer at {widest}"
