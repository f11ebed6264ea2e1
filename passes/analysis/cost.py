"""What every layer costs on the target, at every precision that the target runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from hwmodels import Cost, Metric, Precision, network_cost
from passes.analysis.workloads import Workloads
from passes.api import Analysis, Aspect, PassContext

if TYPE_CHECKING:
    from collections.abc import Mapping

    from passes.ir.model import Model


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


@dataclass(frozen=True)
class Costs(Analysis[CostTable]):
    """Price every layer at every supported pair of the given widths.

    Attributes:
        bits: widths to consider on either side; a target that runs none of them at a layer offers its
            narrowest pair that covers the widest.
    """

    name: ClassVar[str] = "cost"
    reads: ClassVar[Aspect] = Aspect.GRAPH
    bits: tuple[int, ...] = (2, 3, 4, 5, 6, 7, 8)

    def run(self, model: Model, ctx: PassContext) -> CostTable:
        """Ask the target."""
        target = ctx.target
        layers: dict[str, dict[Precision, Cost]] = {}
        for name, work in ctx.get(Workloads(), model).items():
            offered = [p for p in target.precisions(work) if {p.weight_bits, p.act_bits} <= set(self.bits)]
            widest = Precision(max(self.bits), max(self.bits))
            chosen = offered or [target.round_up(work, widest)]
            layers[name] = {precision: target.cost(work, precision) for precision in chosen}
        return CostTable(target.name, target.metrics, layers)


def price_plan(model: Model, ctx: PassContext, bits: Mapping[str, Precision]) -> tuple[Cost, dict[str, Cost]]:
    """Return the cost of a network whose layers have the given precisions, in total and by layer."""
    works = ctx.get(Workloads(), model)
    priced = network_cost(ctx.target, tuple(works.values()), [bits[name] for name in works])
    return priced.total, dict(zip(works, priced.layers, strict=True))
