"""`Fingerprint`: what a model looked like, one digest per aspect, to find out what a pass really wrote."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from passes.api import Aspect
from passes.ir.external import tensors_of
from passes.ir.onnx_io import to_proto
from passes.ir.plan import QuantPlan

if TYPE_CHECKING:
    from passes.ir.model import Model

_DATA_FIELDS = (
    "raw_data", "float_data", "int32_data", "int64_data", "double_data", "uint64_data", "string_data",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """The state of a model at one moment.

    Attributes:
        graph: digest of the model as a file, without the values of its tensors.
        weights: digest of names, shapes and values of all constants, in any order.
        plan: copy of the plan.
    """

    graph: str
    weights: str
    plan: QuantPlan

    @classmethod
    def of(cls, model: Model) -> Fingerprint:
        """Take the fingerprint; costs as much as writing the model to memory."""
        proto = to_proto(model)
        weights = sorted(hashlib.sha256(t.SerializeToString(deterministic=True)).digest() for t in tensors_of(proto.graph))
        for tensor in tensors_of(proto.graph):
            for name in _DATA_FIELDS:
                tensor.ClearField(name)
        return cls(
            graph=hashlib.sha256(proto.SerializeToString(deterministic=True)).hexdigest(),
            weights=hashlib.sha256(b"".join(weights)).hexdigest(),
            plan=QuantPlan(dict(model.plan.layers), dict(model.plan.tensors)),
        )

    def changed(self, later: Fingerprint) -> Aspect:
        """Return the aspects in which two states differ."""
        wrote = Aspect.NONE
        for aspect, same in (
            (Aspect.GRAPH, self.graph == later.graph),
            (Aspect.WEIGHTS, self.weights == later.weights),
            (Aspect.PLAN, self.plan == later.plan),
        ):
            wrote |= Aspect.NONE if same else aspect
        return wrote
