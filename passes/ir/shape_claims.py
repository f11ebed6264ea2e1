"""What a file claims about its tensors beside what follows from its nodes: wrong claims are left out.

Exporters and editors leave stale value_info behind, and shape inference believes it. ONNX Runtime warns of it
and computes what the nodes say.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from onnx import shape_inference

if TYPE_CHECKING:
    import onnx


def drop_wrong_claims(proto: onnx.ModelProto) -> None:
    """Take out entries of value_info that contradict what shape inference finds without any of them.

    Args:
        proto: changed in place; it stays as it is where inference fails.
    """
    claims = list(proto.graph.value_info)
    if not claims:
        return
    del proto.graph.value_info[:]
    try:
        inferred = shape_inference.infer_shapes(proto, data_prop=True).graph.value_info
    except (shape_inference.InferenceError, RuntimeError, ValueError):
        inferred = []
    known = {value.name: value.type.tensor_type for value in inferred}
    proto.graph.value_info.extend(it for it in claims if _agrees(it.type.tensor_type, known.get(it.name)))


def _agrees(claim: onnx.TypeProto.Tensor, found: onnx.TypeProto.Tensor | None) -> bool:
    if found is None or not found.elem_type:
        return True
    if claim.elem_type != found.elem_type:
        return False
    if not (claim.HasField("shape") and found.HasField("shape")):
        return True
    pairs = list(zip(claim.shape.dim, found.shape.dim, strict=False))
    same_rank = len(claim.shape.dim) == len(found.shape.dim)
    return same_rank and all(
        a.dim_value == b.dim_value or not (a.dim_value and b.dim_value) for a, b in pairs
    )
