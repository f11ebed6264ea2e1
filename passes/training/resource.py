"""What a network costs at learned bits, with gradients: a target's prices between neighbouring widths.

The loss is multiplied by ``(cost / limit) ** power`` for every budget that is exceeded [DDQ, arXiv
2106.02295, section 3; the form is that of MnasNet, arXiv 1807.11626, eq. 2]. The prices of a layer are known
at the widths of its gates; between two of them they are a straight line, so that the gradient of a gate is
the difference of the prices on its two sides.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import fsum
from typing import TYPE_CHECKING

import torch

from hwmodels import Precision
from passes.numerics.levels import CODE_BITS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from passes.training.gates import Gates


@dataclass(frozen=True, slots=True)
class GatedLayer:
    """A layer, the gates of its weights and those of the activation that it reads.

    Attributes:
        name: of the layer.
        op: its operator.
        weight, act: bits; gates of one width only where nothing is learned.
        prices: by metric, at each of the widths, shape (weight widths, act widths).
        free: whether weights of fewer than 8 bits are indices of free levels.
    """

    name: str
    op: str
    weight: Gates
    act: Gates
    prices: Mapping[str, NDArray[np.float64]]
    free: bool = False

    @property
    def precision(self) -> Precision:
        """The bits that are computed with."""
        return Precision(CODE_BITS if self.index_bits else self.weight.bits, self.act.bits)

    @property
    def index_bits(self) -> int:
        """The bits of an index; 0 where there is no table."""
        return self.weight.bits if self.free and self.weight.bits < CODE_BITS else 0

    def price(self, metric: str) -> float:
        """Return the cost at the bits in use."""
        return float(self.prices[metric][self.weight.place, self.act.place])

    def carried(self, metric: str) -> Tensor:
        """Return zero, with the gradients of the cost for the gates next to the bits in use."""
        table = self.prices[metric]
        along = [(self.weight, table[:, self.act.place]), (self.act, table[self.weight.place])]
        parts = [_carried(gates, row) for gates, row in along if len(gates.widths) > 1]
        return torch.stack([*parts, torch.zeros((), device=self.weight.free.device)]).sum()


def _carried(gates: Gates, row: NDArray[np.float64]) -> Tensor:
    slopes = torch.zeros_like(gates.free)
    for other in gates.around():
        gate = min(gates.place, other)
        slopes[gate] = float(row[gate + 1] - row[gate])
    return torch.dot(gates.free - gates.free.detach(), slopes)


@dataclass(frozen=True, slots=True)
class Limit:
    """A budget.

    Attributes:
        metric: name of the metric.
        most: in its unit.
        fixed: what no layer changes: conversions and operators without products, as at the start.
    """

    metric: str
    most: float
    fixed: float

    def eased(self, first: float, share: float) -> Limit:
        """Return the budget at a share of the way, in equal ratios from the cost at the start down to it."""
        return replace(self, most=max(first, self.most) ** (1 - share) * self.most**share)


@dataclass(frozen=True, slots=True)
class Resource:
    """The costs of a network under its gates.

    Attributes:
        layers: all of them.
        limits: budgets.
        power: how hard an excess weighs.
    """

    layers: Sequence[GatedLayer]
    limits: Sequence[Limit]
    power: float

    def excess(self) -> Tensor:
        """Return the logarithm of what the loss is multiplied by; 0 where all budgets are met."""
        found = torch.zeros((), device=self.layers[0].weight.free.device)
        for limit in self.limits:
            cost = limit.fixed + fsum(layer.price(limit.metric) for layer in self.layers)
            if cost > limit.most:
                carried = torch.stack([layer.carried(limit.metric) for layer in self.layers]).sum()
                found = found + self.power * torch.log((cost + carried) / limit.most)
        return found
