"""Positions of a Resize: those of ONNX Runtime, and repetition where extents are unknown."""

from __future__ import annotations

from itertools import product

import numpy as np
import onnx_graphsurgeon as gs
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from passes.errors import LoweringError
from passes.lowering.resize import resize_step

COORDINATES = ("half_pixel", "pytorch_half_pixel", "asymmetric", "align_corners")
ROUNDINGS = ("floor", "ceil", "round_prefer_floor", "round_prefer_ceil")


def resize(shape: list[int | str], scales: list[float], coordinates: str, rounding: str) -> gs.Node:
    attrs = {"mode": "nearest", "coordinate_transformation_mode": coordinates, "nearest_mode": rounding}
    x = gs.Variable("x", np.float32, shape)
    inputs = [x, gs.Constant("roi", np.zeros(0, np.float32)), gs.Constant("s", np.array(scales, np.float32))]
    return gs.Node("Resize", "resize", attrs, inputs, [gs.Variable("y", np.float32)])


def by_onnx_runtime(x: np.ndarray, scales: list[float], coordinates: str, rounding: str) -> np.ndarray:
    node = helper.make_node(
        "Resize", ["x", "", "s"], ["y"], coordinate_transformation_mode=coordinates, nearest_mode=rounding
    )
    graph = helper.make_graph(
        [node],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, x.shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.array(scales, np.float32), "s")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    return onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"x": x})[0]


@pytest.mark.parametrize(("coordinates", "rounding"), list(product(COORDINATES, ROUNDINGS)))
@pytest.mark.parametrize("scale", [2.0, 3.0, 0.5, 1.5])
def test_tables_select_what_onnx_runtime_selects(coordinates: str, rounding: str, scale: float) -> None:
    scales = [1.0, 1.0, scale, 1.0]
    op, attrs, table = resize_step(resize(["N", 1, 6, 2], scales, coordinates, rounding))
    assert (op, attrs["axes"], attrs["sizes"]) == ("resize", [2], [int(6 * scale)])
    x = np.arange(12, dtype=np.float32).reshape(1, 1, 6, 2)
    np.testing.assert_array_equal(x[:, :, table], by_onnx_runtime(x, scales, coordinates, rounding))


def test_unknown_extents_are_repeated() -> None:
    node = resize(["N", 4, "h", "w"], [1.0, 1.0, 2.0, 3.0], "asymmetric", "floor")
    assert resize_step(node) == ("upsample", {"axes": [2, 3], "factors": [2, 3]}, None)


@pytest.mark.parametrize(
    ("scale", "coordinates", "rounding"),
    [(1.5, "asymmetric", "floor"), (2.0, "align_corners", "floor"), (2.0, "asymmetric", "ceil")],
)
def test_unknown_extents_by_anything_else_are_refused(scale: float, coordinates: str, rounding: str) -> None:
    with pytest.raises(LoweringError, match="resize"):
        resize_step(resize(["N", 4, "h", "w"], [1.0, 1.0, scale, scale], coordinates, rounding))
