"""Weights that were rounded by data once, to be used again by plans that round them to the same integers.

How a layer is rounded depends on the layers before it and on its activation as well. Under another plan,
codes from the memo are those of a neighbour: good enough to judge the plan by, which is measured with them.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, ClassVar

from passes.api import Analysis, Aspect, PassContext

if TYPE_CHECKING:
    from passes.ir.layers import Layer
    from passes.ir.model import Model
    from passes.ir.plan import QuantPlan, TensorQuant
    from passes.ir.setup import QuantizerSetup

Key = tuple[str, "TensorQuant"]
Rounded = tuple["TensorQuant", tuple[float, ...] | None]
"""A weight with its codes, and the bias that goes with it, if any."""


@dataclass
class RoundingMemo:
    """Rounded weights by name and by the scales that they started from."""

    _found: dict[Key, Rounded] = field(default_factory=dict)

    def keep(self, layer: Layer, start: TensorQuant, rounded: Rounded) -> None:
        """Remember how a layer was rounded.

        Args:
            layer: with constant weights; a part of it where it has several.
            start: quantization of its weight as it was before, without codes.
            rounded: what came of it.
        """
        self._found[layer.weight_name, start] = rounded

    def recall(self, plan: QuantPlan, setup: QuantizerSetup) -> QuantPlan:
        """Return a plan with the codes and biases that are known for it.

        Args:
            plan: with scales.
            setup: the quantizable part of the graph under this plan.
        """
        tensors, biases = dict(plan.tensors), dict(plan.biases)
        for part in (part for layer in setup.stored for part in layer.parts):
            name = part.weight_name
            found = self._found.get((name, plan.tensors[name])) if name in plan.tensors else None
            if found is not None:
                tensors[name] = found[0]
                biases |= {} if found[1] is None else {part.name: found[1]}
        return replace(plan, tensors=tensors, biases=biases)


@dataclass(frozen=True)
class RoundingMemos(Analysis[RoundingMemo]):
    """Hold one memo for as long as graph and weights stay as they are."""

    name: ClassVar[str] = "rounding-memo"
    reads: ClassVar[Aspect] = Aspect.GRAPH | Aspect.WEIGHTS

    def run(self, model: Model, ctx: PassContext) -> RoundingMemo:
        """Start an empty memo."""
        del model, ctx
        return RoundingMemo()
