"""The width that the sums of every integer operator need: a proof that none of them overflows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from passes.api import Analysis, Aspect, PassContext
from passes.errors import PreconditionError
from passes.ir.float_layers import fitted
from passes.ir.setup import quantizer_setup
from passes.lowering.accumulators import AccumulatorBound, accumulator_bounds

if TYPE_CHECKING:
    from passes.ir.model import Model


@dataclass(frozen=True)
class Accumulators(Analysis["tuple[AccumulatorBound, ...]"]):
    """Bound every accumulator exactly from the quantized weights, the biases and the range of the codes.

    Lowering refuses a plan by the same bounds; this analysis is for reports.
    """

    name: ClassVar[str] = "accumulators"
    reads: ClassVar[Aspect] = Aspect.GRAPH | Aspect.WEIGHTS | Aspect.PLAN

    def run(self, model: Model, ctx: PassContext) -> tuple[AccumulatorBound, ...]:
        """Bound the sums in graph order.

        Raises:
            PreconditionError: the plan has no scales yet.
        """
        if any(quant.params is None for quant in model.plan.tensors.values()):
            raise PreconditionError("accumulators: the plan has no scales; run assign-scales first")
        return accumulator_bounds(model, fitted(quantizer_setup(model.graph, ctx.target), model.plan))
