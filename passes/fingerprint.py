"""`Fingerprint`: what a model looked like, one digest per aspect, to find out what a pass really wrote."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from onnx import numpy_helper

from passes.api import Aspect
from passes.ir.external import tensors_of
from passes.ir.mapped import outside_values
from passes.ir.onnx_io import to_proto

if TYPE_CHECKING:
    from collections.abc import Iterable

    import onnx
    from google.protobuf.message import Message

    from passes.ir.model import Model
    from passes.ir.plan import QuantPlan

_STORAGE = (
    "raw_data", "float_data", "int32_data", "int64_data", "double_data", "uint64_data", "string_data",
    "data_location", "external_data",
)  # fmt: skip
"""The fields of a tensor that say how it is stored rather than what it is."""


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
        values = [_values(tensor) for tensor in tensors_of(proto.graph)]
        for tensor in tensors_of(proto.graph):
            for name in _STORAGE:
                tensor.ClearField(name)
        stripped = [_serialized(tensor) for tensor in tensors_of(proto.graph)]
        return cls(
            graph=_digest([_serialized(proto)]),
            weights=_digest(sorted(_digest(pair).encode() for pair in zip(stripped, values, strict=True))),
            plan=replace(
                model.plan,
                layers=dict(model.plan.layers),
                tensors=dict(model.plan.tensors),
                biases=dict(model.plan.biases),
                constants=dict(model.plan.constants),
            ),
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


def _values(tensor: onnx.TensorProto) -> bytes:
    """Return the values in one form, whichever of its fields holds them."""
    if tensor.data_type == tensor.STRING:
        return b"\0".join(tensor.string_data)
    if tensor.data_location == tensor.EXTERNAL:
        return outside_values(tensor).tobytes()
    return numpy_helper.to_array(tensor).tobytes()


def _serialized(message: Message) -> bytes:
    data: bytes = message.SerializeToString(deterministic=True)
    return data


def _digest(parts: Iterable[bytes]) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.hexdigest()
