"""`lower{to=...}`: replace the graph by its quantized form."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from passes.api import Aspect, Pass, PassContext, PassResult
from passes.errors import PreconditionError
from passes.ir.onnx_io import model_from_proto
from passes.ir.setup import quantizer_setup
from passes.lowering.encoding import Form
from passes.lowering.qdq import emit_qdq

if TYPE_CHECKING:
    from passes.ir.model import Model


@dataclass(frozen=True)
class Lower(Pass):
    """Turn plan and graph into one Q/DQ graph; the plan is empty afterwards, its decisions being carried out.

    Attributes:
        to: spelling of the result.
    """

    name: ClassVar[str] = "lower"
    to: Form = Form.QDQ

    def check(self, model: Model, ctx: PassContext) -> None:
        """There must be a plan, with scales."""
        plan = model.plan
        planned = plan.layers or plan.tensors
        if not planned or any(quant.params is None for quant in plan.tensors.values()):
            raise PreconditionError("lower: the plan has no scales; run allocate and assign-scales first")

    def run(self, model: Model, ctx: PassContext) -> PassResult:
        """Replace the graph."""
        setup = quantizer_setup(model.graph, ctx.target)
        lowered = model_from_proto(emit_qdq(model, setup, self.to), model.path, model.sha256, model.mapped)
        model.graph, model.carried, model.plan = lowered.graph, lowered.carried, lowered.plan
        summary = f"{len(setup.layers)} layers and {len(setup.groups)} activation groups as {self.to}"
        return PassResult(Aspect.GRAPH | Aspect.WEIGHTS | Aspect.PLAN, summary, {"layers": len(setup.layers)})
