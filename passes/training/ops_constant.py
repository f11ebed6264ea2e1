"""Operators on shapes, types and constants: what exporters compute sizes and masks with."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx
import torch
from torch import Tensor

from passes.training.call import integers_of

if TYPE_CHECKING:
    from passes.training.call import Call, Operator


def _shape(call: Call, x: Tensor) -> Tensor:
    sizes = list(x.shape)[call.integer("start", 0) : call.attrs.get("end")]
    return torch.tensor(sizes, dtype=torch.int64, device=x.device)


def _constant(call: Call) -> Tensor:
    key = next(iter(call.attrs))
    dtype = {"value_float": np.float32, "value_floats": np.float32}.get(key)
    return torch.from_numpy(np.array(call.attrs[key], dtype=dtype))


def _constant_of_shape(call: Call, shape: Tensor) -> Tensor:
    value = torch.from_numpy(np.array(call.attrs.get("value", np.zeros(1, np.float32)))).to(shape.device)
    return value.reshape(()).repeat(integers_of(shape)) if shape.numel() else value.reshape(())


def _range(call: Call, start: Tensor, limit: Tensor, delta: Tensor) -> Tensor:
    first, last, step = (bound.item() for bound in (start, limit, delta))
    return torch.arange(first, last, step, dtype=start.dtype, device=start.device)


def _cast(call: Call, x: Tensor) -> Tensor:
    return x.to(torch_type(call.integer("to", onnx.TensorProto.FLOAT)))


def torch_type(element: int) -> torch.dtype:
    """Return the type of torch for an ONNX element type (TensorProto.DataType).

    Raises:
        KeyError: torch has none.
    """
    return _TYPES[element]


def refuse_cast(call: Call) -> str:
    """Say why a Cast cannot run, or return nothing."""
    wanted = call.integer("to", onnx.TensorProto.FLOAT)
    known = wanted in _TYPES
    return "" if known else f"the element type {onnx.TensorProto.DataType.Name(wanted)} is not supported"


_PROTO = onnx.TensorProto
_TYPES: dict[int, torch.dtype] = {
    _PROTO.BOOL: torch.bool,
    _PROTO.DOUBLE: torch.float64,
    _PROTO.FLOAT: torch.float32,
    _PROTO.FLOAT16: torch.float16,
    _PROTO.INT16: torch.int16,
    _PROTO.INT32: torch.int32,
    _PROTO.INT64: torch.int64,
    _PROTO.INT8: torch.int8,
    _PROTO.UINT8: torch.uint8,
}

OPERATORS: dict[str, Operator] = {
    "Cast": _cast,
    "Constant": _constant,
    "ConstantOfShape": _constant_of_shape,
    "Range": _range,
    "Shape": _shape,
    "Size": lambda call, x: torch.tensor(x.numel(), dtype=torch.int64, device=x.device),
}
"""By name."""
