"""What every layer costs on the target, at every precision that the target runs."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar

from hwmodels import Cost, Metric, Precision, network_cost, price_table
from passes.analysis.between import BetweenLayers
from passes.analysis.schedule import ActivationLives
from passes.analysis.workloads import Workloads
from passes.api import Analysis, Aspect, PassContext
from passes.html_table import html_table
from passes.ir.setup import quantizer_setup
from passes.ir.specs import group_bits
from passes.ir.widened_workload import planned_workload, tabled_workload

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray

    from hwmodels import HardwareModel, Workload
    from passes.ir.layers import Layer
    from passes.ir.model import Model
    from passes.ir.plan import QuantPlan
    from passes.ir.tensor_groups import TensorGroup


@dataclass(frozen=True, slots=True)
class CostTable:
    """Prices by layer name and precision.

    Attributes:
        target: name of the machine.
        metrics: what it estimates.
        layers: cost of each layer at each precision.
    """

    target: str
    metrics: frozenset[Metric]
    layers: Mapping[str, Mapping[Precision, Cost]]

    def to_json(self) -> dict[str, Any]:
        """Return plain values; a metric that is not estimated is left out."""
        return {
            name: {
                str(precision): {metric.value: cost.get(metric) for metric in sorted(self.metrics)}
                for precision, cost in prices.items()
            }
            for name, prices in self.layers.items()
        }

    def _repr_html_(self) -> str:
        names = sorted(self.metrics)
        rows = [
            (name, str(precision), *(cost.get(metric) for metric in names))
            for name, prices in self.layers.items()
            for precision, cost in prices.items()
        ]
        return html_table(f"Costs on {self.target}", ("layer", "precision", *names), rows)


@dataclass(frozen=True)
class Costs(Analysis[CostTable]):
    """Price every layer at every supported pair of the given widths.

    Attributes:
        bits: widths to consider on either side; a target that runs none of them at a layer offers its
            narrowest pair that covers the widest.
        group_size: input channels that share a scale of the weights; 0 for none.
    """

    name: ClassVar[str] = "cost"
    reads: ClassVar[Aspect] = Aspect.GRAPH
    bits: tuple[int, ...] = (2, 3, 4, 5, 6, 7, 8)
    group_size: int = 0

    def run(self, model: Model, ctx: PassContext) -> CostTable:
        """Ask the target."""
        target = ctx.target
        works = ctx.get(Workloads(self.group_size), model)
        offers: dict[tuple[Precision, ...], list[str]] = {}
        for name, work in works.items():
            offers.setdefault(self._offered(target, work), []).append(name)
        layers: dict[str, dict[Precision, Cost]] = {}
        for offered, names in offers.items():
            tables = price_table(target, [works[name] for name in names], offered)
            for row, name in enumerate(names):
                layers[name] = {precision: _cost(tables, row, at) for at, precision in enumerate(offered)}
        return CostTable(target.name, target.metrics, {name: layers[name] for name in works})

    def _offered(self, target: HardwareModel, work: Workload) -> tuple[Precision, ...]:
        offered = [p for p in target.precisions(work) if {p.weight_bits, p.act_bits} <= set(self.bits)]
        widest = Precision(max(self.bits), max(self.bits))
        return tuple(offered) or (target.round_up(work, widest),)


def _cost(tables: Mapping[Metric, NDArray[np.float64]], row: int, column: int) -> Cost:
    values: dict[str, Any] = {metric.value: float(table[row, column]) for metric, table in tables.items()}
    return Cost(**values)


def price_plan(
    model: Model,
    ctx: PassContext,
    bits: Mapping[str, Precision],
    group_size: int = 0,
    *,
    points: bool = False,
    tables: Mapping[str, int] = MappingProxyType({}),
) -> tuple[Cost, dict[str, Cost]]:
    """Return the cost of a network whose layers have the given precisions, in total and by layer.

    The total includes conversions between precisions and operators without products, and the peak memory.

    Args:
        model: its graph is priced.
        ctx: with the target.
        bits: by layer name.
        group_size: input channels that share a scale of the weights; 0 for none.
        points: layers are as wide as the points make them that the plan of the model gives to channels, and
            stored as its tables make them.
        tables: bits of the indices of layers whose weights are stored as such, by layer name.
    """
    works = dict(ctx.get(Workloads(group_size), model))
    setup = quantizer_setup(model.graph, ctx.target)
    if points:
        works |= {layer.name: _planned(works[layer.name], layer, model.plan) for layer in setup.layers}
    works |= {name: tabled_workload(works[name], index) for name, index in tables.items()}
    groups = {group.name: group_bits(group, bits) for group in setup.groups}
    steps = [entry.at(groups) for entry in ctx.get(BetweenLayers(), model)]
    stored = {group.name: stored_bits(group, works, bits, ctx.target) for group in setup.groups}
    schedule = ctx.get(ActivationLives(), model).at(stored)
    priced = network_cost(ctx.target, tuple(works.values()), [bits[name] for name in works], schedule, steps)
    return priced.total, dict(zip(works, priced.layers, strict=True))


def _planned(work: Workload, layer: Layer, plan: QuantPlan) -> Workload:
    quants = (plan.tensors.get(part.weight_name) for part in layer.parts)
    return planned_workload(work, [quant for quant in quants if quant is not None])


def stored_bits(
    group: TensorGroup, works: Mapping[str, Workload], bits: Mapping[str, Precision], target: HardwareModel
) -> int:
    """Return the width of a tensor in memory: the one asked for, or that of the pair computed with."""
    if all(target.rules(works[reader]).packed_storage for reader in group.readers):
        return group_bits(group, bits)
    return max(target.round_up(works[reader], bits[reader]).act_bits for reader in group.readers)
