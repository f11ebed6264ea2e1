"""Rewrites of canonicalize for transformers: the same results from fewer operators."""

from __future__ import annotations

import numpy as np
import pytest

from hwmodels.registry import load_target
from passes.api import PassContext
from passes.execution.session import Level, Session
from passes.ir.layers import static_shape
from passes.ir.model import Model
from passes.ir.onnx_io import model_from_text, opset_of, to_proto
from passes.transform.canonicalize import Canonicalize

TEXT = """
<ir_version: 8, opset_import: ["" : 17]>
net (float[{axes}] x) => ({output})
<float[3,2] w = {{1, 2, 3, 4, 5, 6}}, float[2] b = {{7, 8}}, float root = {{1.41421356}}, float one = {{1}},
 float half = {{0.5}}, float inverse = {{0.70710678}}, float third = {{0.3}},
 float[1,1,3] token = {{9, 8, 7}}, int64 first = {{0}}, int64[1] zero = {{0}},
 int64[1] keep = {{1}}, int64[1] rest = {{-1}}, int64[2] pair = {{1, 3}},
 float[1,5,3] table = {{1, 2, 3, 4, 5, 6, 7, 8, 9, 8, 7, 6, 5, 4, 3}}>
{{ {body} }}
"""
X = np.random.default_rng(5).standard_normal((2, 4, 3)).astype(np.float32)


def model_of(body: str, axes: str = "N,4,3", output: str = "float[A,B,C] y") -> Model:
    return model_from_text(TEXT.format(body=body, axes=axes, output=output))


def canonical(model: Model) -> Model:
    Canonicalize().run(model, PassContext(load_target("generic")))
    return model


def ops(model: Model) -> list[str]:
    return [node.op for node in model.graph.nodes]


def check_same(body: str, **parts: str) -> Model:
    changed = canonical(model_of(body, **parts))
    pair = (model_of(body, **parts), changed)
    before, after = (Session(to_proto(model), Level.BASIC, 1).run({"x": X})[0] for model in pair)
    np.testing.assert_allclose(after, before, rtol=1e-5, atol=1e-5)
    return changed


GELU = "d = {scaled} e = Erf(d) s = Add(e, one)"


@pytest.mark.parametrize("scaled", ["Div(x, root)", "Mul(inverse, x)"])
@pytest.mark.parametrize(
    "product",
    ["p = Mul(x, s) y = Mul(p, half)", "p = Mul(half, s) y = Mul(p, x)", "h = Mul(x, half) y = Mul(h, s)"],
)
def test_every_spelling_of_gelu_is_one_operator(scaled: str, product: str) -> None:
    model = check_same(GELU.format(scaled=scaled) + product)
    assert ops(model) == ["Gelu"]
    assert opset_of(to_proto(model)) == 20


@pytest.mark.parametrize(
    "body",
    [
        "d = Div(x, one) e = Erf(d) s = Add(e, one) p = Mul(x, s) y = Mul(p, half)",
        "d = Div(x, root) e = Erf(d) s = Add(e, half) p = Mul(x, s) y = Mul(p, half)",
        "d = Div(x, root) e = Erf(d) s = Add(e, one) p = Mul(x, s) y = Mul(p, third)",
        "d = Div(x, root) e = Erf(d) s = Add(e, one) p = Mul(d, s) y = Mul(p, half)",
    ],
)
def test_what_only_resembles_gelu_stays(body: str) -> None:
    model = check_same(body)
    assert "Erf" in ops(model)
    assert opset_of(to_proto(model)) == 17


def test_a_product_of_rank_three_and_its_bias_are_a_gemm_on_rows() -> None:
    model = check_same("[product] m = MatMul(x, w) y = Add(b, m)")
    assert ops(model) == ["Reshape", "Gemm", "Reshape"]
    gemm = model.graph.nodes[1]
    assert gemm.name == "product"
    assert static_shape(gemm.inputs[0]) == (4, 3)


def test_a_product_of_two_symbolic_axes_takes_its_shape_from_the_input() -> None:
    model = check_same("m = MatMul(x, w) y = Add(m, b)", axes="N,M,3")
    assert sorted(ops(model)) == ["Concat", "Gemm", "Reshape", "Reshape", "Shape"]


TOKEN = "s = Shape(x) n = Gather(s, first) u = Unsqueeze(n, zero) t = Concat<axis = 0>(u, keep, {last})"


@pytest.mark.parametrize("order", ["e, x", "x, e"])
def test_a_token_is_a_sum_with_padding(order: str) -> None:
    body = TOKEN.format(last="keep") + f" e = Expand(token, t) y = Concat<axis = 1>({order})"
    assert ops(check_same(body)) == ["Pad", "Add"]


def test_a_token_and_its_positions_are_one_constant() -> None:
    body = TOKEN.format(last="keep") + " e = Expand(token, t) c = Concat<axis = 1>(e, x) y = Add(c, table)"
    model = check_same(body)
    assert ops(model) == ["Pad", "Add"]
    np.testing.assert_array_equal(model.graph.nodes[1].inputs[1].values[0, 0], [10, 10, 10])


def test_reshapes_tell_how_many_rows_a_sample_has() -> None:
    body = "t = Concat<axis = 0>(rest, keep, keep) r = Reshape(x, t) y = Relu(r)"
    reshape = next(node for node in canonical(model_of(body)).graph.nodes if node.op == "Reshape")
    assert reshape.outputs[0].shape == ["12*N", 1, 1]


@pytest.mark.parametrize(
    "split", ["a, c = Split<axis = 1>(x)", "a, c = Split<axis = -2>(x, pair)", "d, c, e = Split<axis = 2>(x)"]
)
def test_a_split_is_slices(split: str) -> None:
    assert ops(check_same(f"{split} m = Relu(c) y = Relu(m)")) == ["Slice", "Relu", "Relu"]


def test_a_split_of_an_unknown_extent_stays() -> None:
    assert ops(check_same("a, c = Split<axis = 1>(x) y = Relu(c)", axes="N,M,3")) == ["Split", "Relu"]
