"""Budgets of passes that learn bits: options as of `allocate`, as limits on sums over layers."""

from __future__ import annotations

from dataclasses import dataclass
from math import fsum
from typing import TYPE_CHECKING

from hwmodels import Metric, Precision
from passes.allocation.allocate import Allocate
from passes.allocation.build import uniform_bits
from passes.analysis.cost import price_plan
from passes.errors import UsageError
from passes.ir.setup import quantizer_setup

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from passes.api import PassContext
    from passes.ir.model import Model
    from passes.training.resource import Limit

BUDGETS = ("max_latency", "max_energy", "max_size", "max_bops")


@dataclass(frozen=True)
class LearnedBudgets:
    """The options; each is a number with a unit (``12ms``), relative to uniform 8 bits (``0.5x``), or empty.

    Attributes:
        max_latency: in seconds.
        max_energy: in joules.
        max_size: bytes of weights.
        max_bops: bit operations.
    """

    max_latency: str = ""
    max_energy: str = ""
    max_size: str = ""
    max_bops: str = ""

    def check_budgets(self, name: str, ctx: PassContext) -> None:
        """Check that there is a budget, and the data that learning within it needs.

        Args:
            name: of the pass.
            ctx: with data.

        Raises:
            UsageError: budgets or calibration data are missing.
        """
        if ctx.calibration is None:
            message = "needs calibration data, which tell the ranges of other bits; give --calib"
            raise UsageError(f"{name}: {message}")
        if not any(getattr(self, budget) for budget in BUDGETS):
            raise UsageError(f"{name}: without a budget all bits would stay; give one, such as max-size=0.5x")

    def limits(self, model: Model, ctx: PassContext) -> list[Limit]:
        """Return the budgets, in the units of the metrics.

        Raises:
            UsageError: a budget is on a metric that the target lacks.
        """
        from passes.training.resource import Limit

        setup = quantizer_setup(model.graph, ctx.target)
        eight, _ = price_plan(model, ctx, uniform_bits(setup, Precision(8, 8), {}))
        bits = {name: layer.precision for name, layer in model.plan.layers.items()}
        total, layers = price_plan(model, ctx, bits)
        asked = Allocate(**{name: getattr(self, name) for name in BUDGETS})
        limits = []
        for budget in asked.budgets(ctx.target, eight):
            metric = Metric(budget.metric)
            summed = fsum(float(cost.get(metric) or 0.0) for cost in layers.values())
            fixed = max(float(total.get(metric) or 0.0) - summed, 0.0)
            limits.append(Limit(budget.metric, budget.limit, fixed))
        return limits


def pricing(
    model: Model, ctx: PassContext
) -> Callable[[Mapping[str, Precision], Mapping[str, int]], dict[str, float]]:
    """Return what tells the cost of a network, by metric, conversions included.

    It takes the precision of every layer, and the bits of indices of those whose weights have tables.
    """

    def price(bits: Mapping[str, Precision], tables: Mapping[str, int]) -> dict[str, float]:
        total, _ = price_plan(model, ctx, bits, tables=tables)
        return {metric.value: float(total.get(metric) or 0.0) for metric in Metric}

    return price
