"""What would end the process in ONNX Runtime is refused before."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from passes.errors import ModelError
from passes.execution.session import Session


def gru() -> onnx.ModelProto:
    """One direction, 2 inputs, 3 states."""
    rng = np.random.default_rng(0)
    weights = [
        numpy_helper.from_array(rng.standard_normal((1, 9, depth)).astype(np.float32), name)
        for name, depth in (("w", 2), ("r", 3))
    ]
    node = helper.make_node("GRU", ["x", "w", "r"], ["y"], hidden_size=3)
    x = helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["T", "N", 2])
    y = helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, None)
    graph = helper.make_graph([node], "net", [x], [y], weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8)


@pytest.mark.parametrize("shape", [(0, 1, 2), (4, 0, 2)])
def test_a_gru_of_nothing_is_refused(shape: tuple[int, ...]) -> None:
    session = Session(gru(), threads=1)
    assert session.run({"x": np.zeros((4, 1, 2), np.float32)})[0].shape == (4, 1, 1, 3)
    with pytest.raises(ModelError, match="input 'x' is empty"):
        session.run({"x": np.zeros(shape, np.float32)})
