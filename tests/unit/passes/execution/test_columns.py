"""The vectors that a layer multiplies, against ONNX Runtime's convolution."""

from __future__ import annotations

import numpy as np
import pytest

from passes.execution.columns import choose_positions, columns
from passes.execution.session import Session
from passes.ir.layers import Layer, find_layers, matrix_weight, weight_matrix
from passes.ir.onnx_io import model_from_text, to_proto


def convolution(kernel: tuple[int, int], attributes: str, groups: int) -> tuple[Layer, Session]:
    """A convolution of 4 channels to 8 with weights 0, 1, 2, ..., in tenths."""
    shape = (8, 4 // groups, *kernel)
    count = int(np.prod(shape))
    values = ", ".join(f"{(value % 7) / 10 - 0.3:.1f}" for value in range(count))
    model = model_from_text(
        f"""<ir_version: 8, opset_import: ["" : 13]>
        net (float[N,4,7,6] x) => (float[N,8,A,B] y)
        <float[{",".join(map(str, shape))}] w = {{{values}}}>
        {{ [layer] y = Conv<group = {groups}{attributes}>(x, w) }}"""
    )
    (layer,) = find_layers(model.graph)[0]
    return layer, Session(to_proto(model), threads=1)


@pytest.mark.parametrize(
    ("kernel", "attributes", "groups"),
    [
        ((1, 1), "", 1),
        ((1, 1), ", strides = [2, 2]", 2),
        ((3, 3), ", pads = [1, 1, 1, 1]", 1),
        ((3, 3), ", pads = [0, 1, 1, 0], strides = [2, 1]", 4),
        ((2, 3), ", dilations = [2, 1]", 2),
        ((3, 2), ', auto_pad = "SAME_UPPER", strides = [2, 2]', 1),
    ],
)
def test_weights_times_columns_are_the_convolution(
    kernel: tuple[int, int], attributes: str, groups: int
) -> None:
    layer, session = convolution(kernel, attributes, groups)
    batch = np.random.default_rng(0).standard_normal((3, 4, 7, 6)).astype(np.float32)
    (expected,) = session.run({"x": batch})
    at = choose_positions(layer, batch.shape, 1000, np.random.default_rng(1))
    assert at.shape == (3, expected[0, 0].size)
    found = weight_matrix(layer, layer.weight_values()) @ columns(layer, batch, at).transpose(0, 2, 1)
    found = found.reshape(8, 3, *expected.shape[2:]).transpose(1, 0, 2, 3)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_codes_are_padded_with_their_zero_point() -> None:
    layer, _ = convolution((3, 3), ", pads = [1, 1, 1, 1]", 1)
    batch = np.full((1, 4, 7, 6), 9, dtype=np.uint8)
    corner = columns(layer, batch, np.array([[0]]), zero=5).reshape(4, 3, 3)
    assert corner.dtype == np.uint8
    assert corner[0].tolist() == [[5, 5, 5], [5, 9, 9], [5, 9, 9]]


def test_positions_are_drawn_for_each_sample_without_repeats() -> None:
    layer, _ = convolution((1, 1), "", 1)
    at = choose_positions(layer, (5, 4, 7, 6), 10, np.random.default_rng(0))
    assert at.shape == (5, 10)
    assert all(len(set(row.tolist())) == 10 for row in at)
    assert not (at == at[0]).all()


@pytest.mark.parametrize("transposed", [0, 1])
def test_rows_of_a_gemm(transposed: int) -> None:
    shape = "2,3" if transposed else "3,2"
    model = model_from_text(
        f"""<ir_version: 8, opset_import: ["" : 13]>
        net (float[N,3] x) => (float[N,2] y) <float[{shape}] w = {{1.0, 2.0, 3.0, 4.0, 5.0, 6.0}}>
        {{ [layer] y = Gemm<transB = {transposed}>(x, w) }}"""
    )
    (layer,) = find_layers(model.graph)[0]
    batch = np.arange(12, dtype=np.float32).reshape(4, 3)
    at = choose_positions(layer, batch.shape, 1, np.random.default_rng(0))
    matrix = weight_matrix(layer, layer.weight_values())
    (expected,) = Session(to_proto(model), threads=1).run({"x": batch})
    found = (columns(layer, batch, at) @ matrix.transpose(0, 2, 1))[0]
    np.testing.assert_allclose(found, expected)
    np.testing.assert_array_equal(matrix_weight(layer, matrix), layer.weight_values())
