"""A ConvTranspose is its weight matrix times windows over its spread input."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from passes.execution.columns import choose_positions, columns
from passes.execution.session import Session
from passes.execution.stuffed import implicit_padding
from passes.ir.layers import Layer, find_layers, matrix_weight, weight_matrix
from passes.ir.onnx_io import model_from_proto, to_proto

INPUTS, OUTPUTS, EXTENTS = 4, 6, (5, 4, 3)


def layer_of(rank: int, groups: int, kernel: int, **attrs: object) -> tuple[Layer, Session]:
    """A ConvTranspose with random weights, and a session that runs it."""
    shape = (INPUTS, OUTPUTS // groups, *[kernel] * rank)
    weight = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    node = helper.make_node("ConvTranspose", ["x", "w"], ["y"], name="up", group=groups, **attrs)
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", INPUTS, *EXTENTS[:rank]])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    graph = helper.make_graph([node], "up", [x], [y], [numpy_helper.from_array(weight, "w")])
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    model = model_from_proto(proto, "up", "0")
    (layer,), _ = find_layers(model.graph)
    return layer, Session(to_proto(model), threads=1)


@pytest.mark.parametrize(
    ("rank", "kernel", "attrs"),
    [
        (1, 3, {}),
        (1, 4, {"strides": [2], "pads": [1, 2], "output_padding": [1]}),
        (2, 2, {"strides": [2, 2]}),
        (2, 3, {"strides": [2, 1], "dilations": [1, 2], "pads": [1, 0, 2, 3]}),
        (2, 1, {"strides": [3, 2], "pads": [1, 1, 0, 1]}),
        (3, 2, {"strides": [1, 2, 3], "output_padding": [0, 1, 0]}),
    ],
)
@pytest.mark.parametrize("groups", [1, 2])
def test_weights_times_windows_are_the_result(
    rank: int, kernel: int, attrs: dict[str, list[int]], groups: int
) -> None:
    layer, session = layer_of(rank, groups, kernel, **attrs)
    batch = np.random.default_rng(1).standard_normal((2, INPUTS, *EXTENTS[:rank])).astype(np.float32)
    (expected,) = session.run({"x": batch})
    at = choose_positions(layer, batch.shape, 10**6, np.random.default_rng(2))
    assert at.shape == (2, expected[0, 0].size)
    matrix = weight_matrix(layer, layer.weight_values())
    found = matrix @ columns(layer, batch, at).transpose(0, 2, 1)
    found = found.reshape(OUTPUTS, 2, *expected.shape[2:]).swapaxes(0, 1)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    np.testing.assert_array_equal(matrix_weight(layer, matrix), layer.weight_values())


def test_codes_between_the_elements_are_zero_points() -> None:
    layer, _ = layer_of(1, 1, 2, strides=[2])
    batch = np.full((1, INPUTS, 5), 9, dtype=np.uint8)
    found = columns(layer, batch, np.array([[0, 1]]), zero=5).reshape(2, INPUTS, 2)
    assert found.dtype == np.uint8
    assert found[:, 0].tolist() == [[9, 5], [5, 9]]


@pytest.mark.parametrize(
    ("attrs", "expected"),
    [
        ({}, False),
        ({"auto_pad": "VALID"}, False),
        ({"auto_pad": "SAME_UPPER"}, True),
        ({"output_shape": [9]}, True),
    ],
)
def test_padding_that_follows_from_the_result(attrs: dict[str, object], expected: bool) -> None:
    layer, _ = layer_of(1, 1, 3, **attrs)
    assert implicit_padding(layer) is expected
