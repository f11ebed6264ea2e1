"""Normalizations and SiLU, spelled out by exporters, become one operator each."""

from __future__ import annotations

import numpy as np
import pytest

from hwmodels.registry import load_target
from passes.api import PassContext
from passes.execution.session import Level, Session
from passes.ir.model import Model
from passes.ir.onnx_io import model_from_text, opset_of, to_proto
from passes.transform.canonicalize import Canonicalize

TEXT = """
<ir_version: 8, opset_import: ["" : 13]>
net (float[N,T,4] x) => (float[A,B,C] y)
<float eps = {{1e-5}}, float tiny = {{1e-12}}, float wide = {{0.5}}, float two = {{2}}, float three = {{3}},
 float one = {{1}}, float[4] gain = {{1, 2, 3, 4}}, float[4] shift = {{0.5, 0, -1, 2}}>
{{ {body} }}
"""
MEAN = "m = ReduceMean<axes = [-1]>(x) d = Sub(x, m) "
ROOT = "v = ReduceMean<axes = [2]>(s) a = Add(v, eps) r = Sqrt(a) "
SQUARES = ["s = Pow(d, two) ", "s = Mul(d, d) "]
QUOTIENTS = ["n = Div(d, r) ", "i = Reciprocal(r) n = Mul(d, i) ", "i = Div(one, r) n = Mul(i, d) "]
TAIL = "g = Mul(n, gain) y = Add(g, shift)"


def canonical(body: str, opset: int = 13) -> Model:
    """Canonicalize a body and check that it still computes the same."""
    text = TEXT.format(body=body).replace(": 13]", f": {opset}]")
    before, after = (model_from_text(text) for _ in range(2))
    Canonicalize().run(after, PassContext(load_target("generic")))
    x = np.random.default_rng(2).standard_normal((2, 3, 4)).astype(np.float32)
    old, new = (Session(to_proto(it), Level.BASIC, 1).run({"x": x})[0] for it in (before, after))
    np.testing.assert_allclose(new, old, rtol=1e-5, atol=1e-5)
    return after


def ops(model: Model) -> list[str]:
    return [node.op for node in model.graph.nodes]


@pytest.mark.parametrize("square", SQUARES)
@pytest.mark.parametrize("quotient", QUOTIENTS)
def test_every_spelling_of_layer_norm_is_one_operator(square: str, quotient: str) -> None:
    model = canonical(MEAN + square + ROOT + quotient + TAIL)
    assert ops(model) == ["LayerNormalization"]
    _, gain, shift = model.graph.nodes[0].inputs
    np.testing.assert_array_equal(gain.values, [1, 2, 3, 4])
    np.testing.assert_array_equal(shift.values, [0.5, 0, -1, 2])
    assert model.graph.nodes[0].attrs["epsilon"] == pytest.approx(1e-5)
    assert opset_of(to_proto(model)) == 17


@pytest.mark.parametrize("quotient", QUOTIENTS)
def test_without_its_mean_it_is_an_rms_norm(quotient: str) -> None:
    body = "d = Identity(x) s = Pow(d, two) " + ROOT + quotient + "y = Mul(n, gain)"
    assert ops(canonical(body)) == ["RMSNormalization"]


def test_a_norm_without_gain_has_ones() -> None:
    model = canonical(MEAN + SQUARES[0] + ROOT + "y = Div(d, r)")
    assert ops(model) == ["LayerNormalization"]
    np.testing.assert_array_equal(model.graph.nodes[0].inputs[1].values, np.ones(4))


@pytest.mark.parametrize(
    "body",
    [
        MEAN + "s = Pow(d, three) " + ROOT + QUOTIENTS[0] + TAIL,
        MEAN + SQUARES[0] + "v = ReduceMean<axes = [1]>(s) a = Add(v, eps) r = Sqrt(a) n = Div(d, r)" + TAIL,
        MEAN + SQUARES[0] + ROOT + "n = Div(x, r) " + TAIL,
        MEAN + SQUARES[0] + ROOT + "n = Div(r, d) " + TAIL,
    ],
)
def test_what_only_resembles_a_norm_stays(body: str) -> None:
    text = model_from_text(TEXT.format(body=body))
    Canonicalize().run(text, PassContext(load_target("generic")))
    assert "Sqrt" in ops(text)


def test_division_by_the_length_is_a_norm() -> None:
    body = "l = ReduceL2<axes = [-1]>(x) c = Clip(l, tiny) y = Div(x, c)"
    model = canonical(body)
    assert ops(model) == ["RMSNormalization"]
    np.testing.assert_allclose(model.graph.nodes[0].inputs[1].values, 0.5)


def test_a_length_with_a_real_bound_stays() -> None:
    assert "ReduceL2" in ops(canonical("l = ReduceL2<axes = [-1]>(x) c = Clip(l, wide) y = Div(x, c)"))


@pytest.mark.parametrize("product", ["Mul(x, s)", "Mul(s, x)"])
def test_a_product_with_the_own_sigmoid_is_a_swish(product: str) -> None:
    model = canonical(f"s = Sigmoid(x) y = {product}")
    assert ops(model) == ["Swish"]
    assert opset_of(to_proto(model)) == 24


def test_a_product_with_another_sigmoid_stays() -> None:
    assert ops(canonical("z = Mul(x, gain) s = Sigmoid(z) y = Mul(x, s)")) == ["Mul", "Sigmoid", "Mul"]


@pytest.mark.parametrize("opset", [25, 26])
def test_beyond_the_last_opset_that_runs_swish_it_stays_spelled_out(opset: int) -> None:
    assert ops(canonical("s = Sigmoid(x) y = Mul(x, s)", opset)) == ["Sigmoid", "Mul"]
