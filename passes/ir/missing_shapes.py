"""Shapes that a change of the graph made known, or better known than before."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onnx import helper

from passes.ir.onnx_io import infer_shapes, to_proto

if TYPE_CHECKING:
    from passes.ir.model import Model


def infer_missing_shapes(model: Model) -> bool:
    """Fill in shapes and element types that a change of the graph made known; False if there were none."""
    if all(tensor.shape is not None for node in model.graph.nodes for tensor in node.outputs):
        return False
    inferred = infer_shapes(to_proto(model)).graph
    known = {value.name: value.type.tensor_type for value in (*inferred.value_info, *inferred.output)}
    found = False
    for node in model.graph.nodes:
        for tensor in node.outputs:
            entry = known.get(tensor.name)
            if entry is not None and tensor.shape is None and entry.HasField("shape"):
                tensor.shape = [dim.dim_value or dim.dim_param or None for dim in entry.shape.dim]
                tensor.dtype = helper.tensor_dtype_to_np_dtype(entry.elem_type)
                found = True
    return found


def sharpen_shapes(model: Model, kept: frozenset[str] = frozenset()) -> None:
    """Infer all shapes once more, and take over what is known better than before.

    Args:
        model: its graph is changed.
        kept: tensors whose shapes are right as they are; the others are inferred from them.
    """
    proto = to_proto(model)
    known = [value for value in proto.graph.value_info if value.name in kept]
    del proto.graph.value_info[:]
    proto.graph.value_info.extend(known)
    inferred = {value.name: value.type.tensor_type for value in infer_shapes(proto).graph.value_info}
    for node in model.graph.nodes:
        for tensor in node.outputs:
            entry = inferred.get(tensor.name)
            if entry is not None and entry.HasField("shape") and not _is_static(tensor.shape):
                tensor.shape = [dim.dim_value or dim.dim_param or None for dim in entry.shape.dim]
                tensor.dtype = helper.tensor_dtype_to_np_dtype(entry.elem_type)


def _is_static(shape: list[int | str | None] | None) -> bool:
    return shape is not None and all(isinstance(dim, int) for dim in shape)
