"""Where the channels of a tensor go, on small graphs."""

from __future__ import annotations

import pytest

from passes.ir.layers import find_layers
from passes.ir.onnx_io import model_from_text
from passes.transform.channel_paths import path_ends


def ends(body: str, results: str = "float[N,3,4] y") -> list[str]:
    """The layers at which the channels of ``n`` arrive."""
    text = f"""<ir_version: 8, opset_import: ["" : 17]> net (float[N,3,4] x, float[N,3,3] p) => ({results})
    <float[4] gain = {{1.0, 2.0, 3.0, 4.0}}, float[4] other = {{2.0, 2.0, 2.0, 2.0}}, int64 first = {{0}},
     int64[4] heads = {{0, 3, 2, 2}}, int64[4] wrong = {{0, 2, 2, 3}}, int64[3] flat = {{0, 3, 4}},
     float[4,4] w = {{{", ".join(["0.5"] * 16)}}}, float[4,4] v = {{{", ".join(["0.25"] * 16)}}}>
    {{ [norm] n = LayerNormalization(x, gain) {body} }}"""
    graph = model_from_text(text).graph
    layers = {layer.name: layer for layer in find_layers(graph)[0]}
    return [layer.name for layer in path_ends(graph.tensors()["n"], 4, layers, {"y", "z"})]


def test_all_layers_that_read_a_tensor_are_found() -> None:
    two = "float[N,3,4] y, float[N,3,4] z"
    assert ends("[one] y = MatMul(n, w) [two] z = MatMul(n, v)", two) == ["one", "two"]


def test_factors_pass_what_is_positively_homogeneous_and_products() -> None:
    assert ends("a = Relu(n) b = Mul(x, a) c = Div(b, x) [end] y = MatMul(c, w)") == ["end"]


def test_channels_are_followed_into_heads_and_out_again() -> None:
    body = """a = Reshape(n, heads) b = Transpose<perm = [0, 2, 1, 3]>(a)
              c = Transpose<perm = [0, 2, 1, 3]>(b) d = Reshape(c, flat) [end] y = MatMul(d, w)"""
    assert ends(body) == ["end"]


def test_a_product_of_activations_keeps_the_channels_of_its_right_side() -> None:
    assert ends("a = MatMul(p, n) [end] y = MatMul(a, w)") == ["end"]


def test_taking_a_token_keeps_channels() -> None:
    assert ends("a = Gather<axis = 1>(n, first) [end] y = MatMul(a, w)", "float[N,4] y") == ["end"]


def test_reading_the_shape_does_no_harm() -> None:
    two = "float[N,3,4] y, int64[3] s"
    assert ends("s = Shape(n) [end] y = MatMul(n, w)", two) == ["end"]


@pytest.mark.parametrize(
    "body",
    [
        "a = Sigmoid(n) [end] y = MatMul(a, w)",
        "a = Add(n, other) [end] y = MatMul(a, w)",
        "a = Mul(n, n) [end] y = MatMul(a, w)",
        "a = Relu(n) b = Mul(a, n) [end] y = MatMul(b, w)",
        "a = Div(x, n) [end] y = MatMul(a, w)",
        "a = Transpose<perm = [0, 2, 1]>(n) [end] b = MatMul(p, a) y = MatMul(b, w)",
        "a = Reshape(n, heads) b = Transpose<perm = [0, 3, 1, 2]>(a) c = Reshape(b, flat) y = MatMul(c, w)",
        "a = Reshape(n, wrong) b = Reshape(a, flat) y = MatMul(b, w)",
        "a = Gather<axis = 2>(n, first) y = Add(x, a)",
        "y = Relu(n)",
    ],
)
def test_channels_that_are_bent_or_mixed_have_no_end(body: str) -> None:
    assert ends(body) == []


def test_a_result_of_the_model_is_read_by_someone_else() -> None:
    assert ends("y = Identity(n) [end] z = MatMul(y, w)", "float[N,3,4] y, float[N,3,4] z") == []
