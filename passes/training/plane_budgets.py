"""Budgets that layers of planes meet: planes go where the loss suffers least for what they save."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from hwmodels import Precision
from passes.errors import InfeasibleError
from passes.training.settling import exceeded

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from passes.training.planed_layer import PlanedLayer
    from passes.training.resource import Limit


@dataclass(frozen=True)
class Budgets:
    """The budgets of a run.

    Attributes:
        layers: whose planes may go.
        limits: what has to be met at the end.
        price: tells the cost of the network at given bits of these layers, by metric.
        first: that cost at the start.
    """

    layers: Sequence[PlanedLayer]
    limits: Sequence[Limit]
    price: Callable[[Mapping[str, Precision]], Mapping[str, float]]
    first: Mapping[str, float] = field(init=False)

    def __post_init__(self) -> None:
        """Check that they can be met.

        Raises:
            InfeasibleError: the least bits everywhere exceed one.
        """
        object.__setattr__(self, "first", self.price({it.name: it.precision for it in self.layers}))
        least = {it.name: Precision(it.widths[0], it.act_bits) for it in self.layers}
        if over := exceeded(self.limits, self.price(least)):
            raise InfeasibleError(f"with the least bits everywhere the network still costs {over}")

    def meet(self, share: float) -> None:
        """Drop planes until the budgets of a share of the way are met, equal ratios down from the start.

        Raises:
            InfeasibleError: fewer bits cost more than more of them, and no layer has any left to give.
        """
        limits = [it.eased(self.first[it.metric], share) for it in self.limits]
        while over := exceeded(limits, self.price({it.name: it.precision for it in self.layers})):
            open_ = [it for it in self.layers if it.place]
            if not open_:
                raise InfeasibleError(f"with the least bits everywhere the network still costs {over}")
            min(open_, key=lambda it: it.worth(limits)).narrow()
