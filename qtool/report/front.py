"""Plans of least estimated loss at several costs: what the plan of a compilation is to be seen against."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class FrontPoint:
    """A plan that was not chosen, or the one that was, by what is expected of it.

    Attributes:
        name: for people.
        kind: ``plan``, ``uniform`` or ``optimal``.
        loss: expected, in the unit of the sensitivity.
        bound: least loss that any plan of at most this cost has; ``None`` where it is not known.
        cost: in the unit of the front's metric.
        weight_bits: by layer, in the order of the front's layers.
        act_bits: likewise.
    """

    name: str
    kind: str
    loss: float
    bound: float | None
    cost: float
    weight_bits: tuple[int, ...]
    act_bits: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class FrontReport:
    """Expected loss against one cost: the plan, uniform plans, and the best there is at some budgets.

    Attributes:
        metric: the cost, a field of `qtool.report.CostReport`.
        layers: names, in graph order.
        points: the plan first, then uniform plans, then the optimal ones from the cheapest.
    """

    metric: str
    layers: tuple[str, ...]
    points: tuple[FrontPoint, ...]

    def _repr_html_(self) -> str:
        from qtool.report.notebook import front_table

        return front_table(self)
