"""Few free levels for weights, in place of uniform integers: least squared error without training."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

from hwmodels import Precision
from passes.api import Aspect, Pass, PassContext, PassResult
from passes.errors import PreconditionError, UsageError
from passes.ir.float_layers import fitted
from passes.ir.setup import quantizer_setup
from passes.ir.tables import may_have_levels, with_free_levels
from passes.numerics.levels import CODE_BITS, MAX_INDEX_BITS
from passes.transform.assign_scales import bias_floor

if TYPE_CHECKING:
    from passes.ir.layers import Layer
    from passes.ir.model import Model
    from passes.ir.plan import QuantPlan, TensorQuant


@dataclass(frozen=True)
class FitLevels(Pass):
    """Give weights of few bits a table of as many levels, where their squared error is least.

    They are stored as indices of as many bits as before, and computed with as bytes: for budgets on size.
    Put gptq behind it, which rounds to the levels.

    Attributes:
        max_bits: weights of more bits are left alone.
    """

    name: ClassVar[str] = "fit-levels"
    max_bits: int = 4

    def check(self, model: Model, ctx: PassContext) -> None:
        """Scales must have been assigned, and tables be of few bits.

        Raises:
            PreconditionError: a tensor has no scale.
            UsageError: a table would have every code.
        """
        if any(quant.params is None for quant in model.plan.tensors.values()):
            raise PreconditionError("fit-levels: run assign-scales first")
        if not 1 <= self.max_bits <= MAX_INDEX_BITS:
            found = f"found {self.max_bits}"
            raise UsageError(f"fit-levels: max-bits must be between 1 and {MAX_INDEX_BITS}, {found}")

    def run(self, model: Model, ctx: PassContext) -> PassResult:
        """Fit levels and scales in turns."""
        setup = fitted(quantizer_setup(model.graph, ctx.target), model.plan)
        plan = model.plan
        chosen = [layer for layer in setup.layers if self._wanted(layer, plan)]
        tensors, layers = dict(plan.tensors), dict(plan.layers)
        for layer in chosen:
            act, bias_bits = plan.tensors[layer.act.name], setup.rules[layer.name].bias_bits
            for part in layer.parts:
                quant = plan.tensors[part.weight_name]
                least = bias_floor(part, quant, act, bias_bits)
                tensors[part.weight_name] = with_free_levels(part.weight_values(), quant, least)
            found = layers[layer.name]
            layers[layer.name] = replace(found, precision=Precision(CODE_BITS, found.precision.act_bits))
        model.plan = replace(plan, tensors=tensors, layers=layers)
        wrote = Aspect.PLAN if chosen else Aspect.NONE
        return PassResult(wrote, f"{len(chosen)} layers have tables", {"layers": len(chosen)})

    def _wanted(self, layer: Layer, plan: QuantPlan) -> bool:
        quants: list[TensorQuant] = [plan.tensors[part.weight_name] for part in layer.parts]
        return bool(quants) and all(
            may_have_levels(quant) and quant.spec.format.bits <= self.max_bits for quant in quants
        )
