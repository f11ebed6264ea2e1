"""A layer whose bits are learned as planes: what fewer bits cost the loss, and what they save the machine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hwmodels import Precision, price_table
from passes.analysis.workloads import Workloads
from passes.training.bit_planes import SIGN

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from passes.api import PassContext
    from passes.ir.layers import Layer
    from passes.ir.model import Model
    from passes.ir.setup import QuantizerSetup
    from passes.training.bit_planes import BitPlanes
    from passes.training.resource import Limit

TINY = 1e-30
"""Keeps what is saved above 0, so that what saves nothing goes last."""


@dataclass(frozen=True, slots=True)
class PlanedLayer:
    """A layer and its planes.

    Attributes:
        name: of the layer.
        op: its operator.
        weights: by the name of the constant.
        act_bits: of the activations that it reads.
        widths: bits that weights may have, ascending; the last are those to start with.
        prices: by metric, at each of the widths.
    """

    name: str
    op: str
    weights: Mapping[str, BitPlanes]
    act_bits: int
    widths: tuple[int, ...]
    prices: Mapping[str, NDArray[np.float64]]

    @classmethod
    def of(
        cls,
        layer: Layer,
        weights: Mapping[str, BitPlanes],
        model: Model,
        ctx: PassContext,
        setup: QuantizerSetup,
    ) -> PlanedLayer:
        """Look up what the machine offers."""
        used = model.plan.layers[layer.name].precision
        offered = {
            it.weight_bits for it in setup.rules[layer.name].precisions if it.act_bits == used.act_bits
        }
        # A code has its sign beside a plane at least.
        widths = (*sorted(it for it in offered if SIGN < it < used.weight_bits), used.weight_bits)
        work = ctx.get(Workloads(), model)[layer.name]
        tables = price_table(ctx.target, [work], [Precision(bits, used.act_bits) for bits in widths])
        prices = {metric.value: table.reshape(-1) for metric, table in tables.items()}
        return cls(layer.name, layer.op, weights, used.act_bits, widths, prices)

    @property
    def place(self) -> int:
        """Index of the least width that holds all planes."""
        needed = max(it.bits for it in self.weights.values())
        return next((at for at, bits in enumerate(self.widths) if bits >= needed), len(self.widths) - 1)

    @property
    def precision(self) -> Precision:
        """The bits in use."""
        return Precision(self.widths[self.place], self.act_bits)

    def worth(self, limits: Sequence[Limit]) -> float:
        """Return what the loss suffers from the next width below, over the share of the budgets it saves."""
        place = self.place
        saved = sum(
            float(self.prices[it.metric][place] - self.prices[it.metric][place - 1]) / it.most
            for it in limits
        )
        harm = sum(it.harm(gone) for it, gone in self._gone())
        return harm / max(saved, TINY)

    def narrow(self) -> None:
        """Go to the next width below."""
        for weight, gone in self._gone():
            weight.drop(gone)

    def _gone(self) -> list[tuple[BitPlanes, int]]:
        left = self.widths[self.place - 1] - SIGN
        return [(it, it.planes - left) for it in self.weights.values() if it.planes > left]
