"""Types and shapes behind operators that ONNX Runtime knows and ONNX does not, such as fused attention."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx

from passes.errors import ModelError
from passes.execution.session import Level, Session
from passes.ir.onnx_io import to_proto

if TYPE_CHECKING:
    import onnx_graphsurgeon as gs

    from passes.ir.model import Model


def infer_runtime_types(model: Model) -> int:
    """Ask ONNX Runtime for the tensors whose element type shape inference left open.

    Args:
        model: types and shapes are filled in. It stays as it is where ONNX Runtime does not load it, or where
            its constants are in files.

    Returns:
        How many tensors got a type.
    """
    results = [tensor for node in model.graph.nodes for tensor in node.outputs if tensor.name]
    if all(tensor.dtype is not None for tensor in results) or model.mapped is not None:
        return 0
    unknown = {tensor.name: tensor for tensor in results if tensor.dtype is None or tensor.shape is None}
    proto = to_proto(model)
    del proto.graph.output[:]
    proto.graph.output.extend(onnx.ValueInfoProto(name=name) for name in unknown)
    try:
        found = Session(proto, Level.BASIC, 1).described()
    except ModelError:
        return 0
    axes = {dim for tensor in model.graph.inputs for dim in tensor.shape or () if isinstance(dim, str)}
    for name, (dtype, shape) in found.items():
        _describe(
            unknown[name], dtype, [dim if dim in axes or isinstance(dim, int) else None for dim in shape]
        )
    return len(found)


def _describe(tensor: gs.Variable, dtype: np.dtype[np.generic], shape: list[int | str | None]) -> None:
    tensor.dtype = dtype
    # ONNX Runtime describes a tensor of unknown rank as it does a scalar.
    tensor.shape = shape or tensor.shape
