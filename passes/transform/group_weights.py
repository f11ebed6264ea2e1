"""`group-weights`: scales for groups of input channels instead of whole output channels."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

from passes.api import Aspect, Pass, PassContext, PassResult
from passes.artifact.runs import SIZES
from passes.errors import PreconditionError, UsageError
from passes.ir.setup import quantizer_setup
from passes.ir.weight_groups import MAX_BITS, group_axis
from passes.numerics import PerGroup

if TYPE_CHECKING:
    from passes.ir.layers import Layer
    from passes.ir.model import Model
    from passes.ir.plan import TensorQuant
    from passes.ir.setup import QuantizerSetup


@dataclass(frozen=True)
class GroupWeights(Pass):
    """Give the weights of matrix products and dense convolutions a scale for every few input channels.

    Weights of more than 8 bits, layers with fewer input channels than a group has, and layers whose machine
    knows no such scales keep one for each output channel. `assign-scales` then chooses the scales, in two
    levels (`passes.numerics.group_params`).

    Attributes:
        size: input channels of a group: 16, 32, 64 or 128.
        max_bits: wider weights keep their scales.

    Raises:
        UsageError: the size or the width is none of these.
    """

    name: ClassVar[str] = "group-weights"
    size: int = 32
    max_bits: int = MAX_BITS

    def __post_init__(self) -> None:
        """Check the options."""
        if self.size not in SIZES:
            raise UsageError(f"group-weights: expected a size out of {SIZES}, found {self.size}")
        if not 1 <= self.max_bits <= MAX_BITS:
            raise UsageError(f"group-weights: expected max-bits of 1..{MAX_BITS}, found {self.max_bits}")

    def check(self, model: Model, ctx: PassContext) -> None:
        """The plan must say how many bits each tensor has."""
        if not model.plan.tensors:
            raise PreconditionError("group-weights: the plan is empty; allocate bits first")

    def run(self, model: Model, ctx: PassContext) -> PassResult:
        """Change the granularity in the plan; scales that were there already are dropped.

        Raises:
            UsageError: the machine knows no scales of groups for any layer.
        """
        setup = quantizer_setup(model.graph, ctx.target)
        if not any("per_group" in rules.granularities for rules in setup.rules.values()):
            raise UsageError(
                f"group-weights: target {ctx.target.name} knows scales of weights per tensor or per channel "
                "only; take another target, or leave the groups out"
            )
        tensors = dict(model.plan.tensors)
        for layer in setup.layers:
            if layer.weight is not None and self._takes(layer, tensors[layer.weight.name], setup):
                tensors[layer.weight.name] = self._grouped(layer, tensors[layer.weight.name])
        changed = sum(tensors[name] != quant for name, quant in model.plan.tensors.items())
        model.plan = replace(model.plan, tensors=tensors)
        summary = f"{changed} weights in groups of {self.size}"
        return PassResult(Aspect.PLAN if changed else Aspect.NONE, summary, {"grouped": changed})

    def _takes(self, layer: Layer, quant: TensorQuant, setup: QuantizerSetup) -> bool:
        axis = group_axis(layer)
        return (
            axis is not None
            and "per_group" in setup.rules[layer.name].granularities
            and quant.spec.format.bits <= self.max_bits
            and int(layer.weight.shape[axis]) >= self.size  # type: ignore[union-attr]
        )

    def _grouped(self, layer: Layer, quant: TensorQuant) -> TensorQuant:
        granularity = PerGroup(int(group_axis(layer) or 0), self.size)
        return replace(quant, spec=replace(quant.spec, granularity=granularity), params=None)
