"""Layers: which nodes are, where their parts are, and why others are not."""

from __future__ import annotations

import numpy as np
import pytest

from passes.ir.layers import elements, find_layers, matrix_weight, static_shape, weight_matrix
from passes.ir.model import Model
from passes.ir.onnx_io import model_from_text

FOLDED = "alpha or beta other than 1; canonicalize folds them where it can"


def read(body: str, constants: str = "float[2,2] w = {1.0, 2.0, 3.0, 4.0}", x: str = "float[N,2] x") -> Model:
    header = '<ir_version: 8, opset_import: ["" : 13]>'
    return model_from_text(f"{header} g ({x}) => (float[N,M] y) <{constants}> {{ {body} }}")


def reasons(model: Model) -> list[tuple[str, str]]:
    return [(entry.op, entry.reason) for entry in find_layers(model.graph)[1]]


def test_a_gemm_and_its_parts() -> None:
    model = read(
        "[fc] y = Gemm <transB = 1> (x, w, b)",
        "float[3,2] w = {1.0,2.0,3.0,4.0,5.0,6.0}, float[3] b = {0.0,0.0,0.0}",
    )
    (layer,), refused = find_layers(model.graph)
    assert (layer.name, layer.op, layer.act.name, layer.weight.name, layer.bias.name) == (
        "fc",
        "Gemm",
        "x",
        "w",
        "b",
    )
    assert (layer.channel_axis, layer.groups, layer.depthwise, layer.output.name) == (0, 1, False, "y")
    assert layer.rhs is None
    assert refused == ()
    np.testing.assert_array_equal(layer.weight_values(), [[1, 2], [3, 4], [5, 6]])


@pytest.mark.parametrize(
    ("body", "weight", "axis", "depthwise"),
    [
        ("y = Conv(x, w)", "[4,4,1,1]", 0, False),
        ("y = Conv <group = 2> (x, w)", "[4,2,1,1]", 0, False),
        ("y = Conv <group = 4> (x, w)", "[4,1,1,1]", 0, True),
        ("y = Conv <group = 4> (x, w)", "[8,1,1,1]", 0, True),
        ("y = ConvTranspose (x, w)", "[4,3,1,1]", 1, False),
    ],
)
def test_convolutions(body: str, weight: str, axis: int, depthwise: bool) -> None:
    count = int(np.prod([int(size) for size in weight.strip("[]").split(",")]))
    constants = f"float{weight} w = {{{','.join(['1.0'] * count)}}}"
    (layer,), _ = find_layers(read(body, constants, "float[N,4,5,5] x").graph)
    assert (layer.channel_axis, layer.depthwise) == (axis, depthwise)


def test_a_product_of_activations_has_no_weight() -> None:
    (layer,), refused = find_layers(read("y = MatMul(x, z)", x="float[N,2] x, float[2,2] z").graph)
    assert layer.rhs.name == "z"
    assert layer.weight is None
    assert refused == ()
    with pytest.raises(ValueError, match="no constant weight"):
        layer.weight_values()


@pytest.mark.parametrize(
    ("body", "x", "reason"),
    [
        ("y = MatMul(w, x)", "float[2,2] x", "its activation input is a constant"),
        ("y = Gemm <transA = 1> (x, w)", "float[2,N] x", "Gemm with a transposed activation"),
        ("y = Gemm <alpha = 2.0> (x, w)", "float[N,2] x", f"Gemm with {FOLDED}"),
        ("y = Gemm <beta = 2.0> (x, w, w)", "float[N,2] x", f"Gemm with {FOLDED}"),
        ("y = Gemm (x, w, w)", "float[2,2] x", "its bias has rank 2; rank 1 is supported"),
        ("y = Gemm (x, z)", "float[N,2] x, float[2,2] z", "its weights are computed at run time"),
        ("y = Gemm (x, w, z)", "float[N,2] x, float[2] z", "its bias is computed at run time"),
        ("v = Cast <to = 10> (w) y = MatMul(x, v)", "float16[N,2] x", "x is float16; float32 is supported"),
    ],
)
def test_a_refusal_gives_its_reason(body: str, x: str, reason: str) -> None:
    assert [entry[1] for entry in reasons(read(body, x=x))] == [reason]


def test_a_quantized_layer_is_left_alone() -> None:
    constants = "int8[2,2] q = {1,2,3,4}, float s = {0.5}"
    model = read("w = DequantizeLinear(q, s) y = MatMul(x, w)", constants)
    assert reasons(model) == [("MatMul", "it is quantized already")]


def test_a_batched_constant_is_refused() -> None:
    model = read("y = MatMul(x, w)", "float[1,2,2] w = {1.0, 2.0, 3.0, 4.0}")
    assert reasons(model) == [("MatMul", "MatMul with a constant of rank 3; rank 2 is supported")]


def test_bodies_of_control_flow_are_reported() -> None:
    model = read(
        "[choice] y = If (c) <then_branch = t () => (float[N,M] a) { [inner] a = MatMul(x, w) }, "
        "else_branch = e () => (float[N,M] b) { b = Identity(x) }>",
        x="float[N,2] x, bool c",
    )
    layers, refused = find_layers(model.graph)
    assert layers == ()
    assert [(entry.name, entry.reason) for entry in refused] == [("inner", "inside the body of If choice")]


def test_symbolic_sizes_count_once() -> None:
    tensors = read("h = Relu(x) y = MatMul(h, w)").graph.tensors()
    assert static_shape(tensors["x"]) == (1, 2)
    assert elements(tensors["x"]) == 2


def test_the_weight_matrix_has_one_row_per_output_channel() -> None:
    (conv,), _ = find_layers(
        read(
            "y = Conv <group = 2> (x, w)",
            "float[4,1,1,2] w = {1.0,2.0,3.0,4.0,5.0,6.0,7.0,8.0}",
            "float[N,2,5,5] x",
        ).graph
    )
    expected = [[[1, 2], [3, 4]], [[5, 6], [7, 8]]]
    np.testing.assert_array_equal(weight_matrix(conv, conv.weight_values()), expected)
    (matmul,), _ = find_layers(read("y = MatMul(x, w)").graph)
    np.testing.assert_array_equal(weight_matrix(matmul, matmul.weight_values()), [[[1, 3], [2, 4]]])


def test_the_weight_matrix_of_a_transposed_convolution() -> None:
    (layer,), _ = find_layers(
        read(
            "y = ConvTranspose <group = 2> (x, w)",
            "float[4,1,1,2] w = {1.0,2.0,3.0,4.0,5.0,6.0,7.0,8.0}",
            "float[N,4,5,5] x",
        ).graph
    )
    matrix = weight_matrix(layer, layer.weight_values())
    np.testing.assert_array_equal(matrix, [[[1, 2, 3, 4]], [[5, 6, 7, 8]]])
    np.testing.assert_array_equal(matrix_weight(layer, matrix), layer.weight_values())
