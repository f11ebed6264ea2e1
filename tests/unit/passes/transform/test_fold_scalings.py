"""Scalings by one number that weights take over, and those that they cannot."""

from __future__ import annotations

import numpy as np
import pytest

from passes.execution.session import Session
from passes.ir.model import Model
from passes.ir.onnx_io import model_from_text, to_proto
from passes.transform.fold_scalings import fold_scalings

ATTENTION = """
    q = MatMul (x, wq)  k = Gemm (x, wk, b)
    even = Gather <axis = 1> (q, first)  odd = Gather <axis = 1> (q, second)
    turned = Concat <axis = 1> (odd, even)
    t = Transpose <perm = [1, 0]> (k)
    product = MatMul (turned, t)
"""


def network(body: str) -> Model:
    rng = np.random.default_rng(0)
    lists = {
        name: "{" + ",".join(f"{v:f}" for v in rng.standard_normal(size)) + "}"
        for name, size in (("wq", 4), ("wk", 4), ("b", 2))
    }
    return model_from_text(
        f"""<ir_version: 8, opset_import: ["" : 13]> g (float[N,2] x) => (float[N,A] y)
        <float[2,2] wq = {lists["wq"]}, float[2,2] wk = {lists["wk"]}, float[2] b = {lists["b"]},
         float c = {{4.0}}, float[2] several = {{1.0, 2.0}}, int64[1] first = {{0}}, int64[1] second = {{1}}>
        {{ {body} }}"""
    )


def result_of(model: Model) -> np.ndarray:
    x = np.random.default_rng(1).standard_normal((3, 2)).astype(np.float32)
    return np.asarray(Session(to_proto(model), threads=1).run({"x": x})[0])


@pytest.mark.parametrize("scale", ["Div (product, c)", "Mul (product, c)"])
def test_scores_are_scaled_by_the_weights_of_the_queries(scale: str) -> None:
    model = network(f"{ATTENTION} s = {scale} y = Softmax <axis = 1> (s)")
    before, weight = result_of(model), model.graph.tensors()["wq"].values.copy()
    assert fold_scalings(model.graph) == 1
    model.graph.cleanup().toposort()
    factor = 4.0 if "Mul" in scale else 0.25
    np.testing.assert_array_equal(model.graph.tensors()["wq"].values, factor * weight)
    assert {node.op for node in model.graph.nodes}.isdisjoint({"Div", "Mul"})
    np.testing.assert_allclose(result_of(model), before, rtol=1e-5)


def test_a_bias_is_scaled_too() -> None:
    model = network("h = Gemm (x, wk, b)  s = Mul (h, c)  y = Relu (s)")
    before = result_of(model)
    assert fold_scalings(model.graph) == 1
    model.graph.cleanup()
    np.testing.assert_allclose(result_of(model), before, rtol=1e-6)


@pytest.mark.parametrize(
    "body",
    [
        "h = MatMul (x, wq)  s = Mul (h, c)  z = Add (h, s)  y = Relu (z)",
        "h = MatMul (x, wq)  r = Sigmoid (h)  s = Mul (r, c)  y = Relu (s)",
        "h = MatMul (x, wq)  z = Add (h, x)  s = Mul (z, c)  y = Relu (s)",
        "h = MatMul (x, wq)  s = Mul (h, several)  y = Relu (s)",
        "h = MatMul (x, wq)  y = Mul (h, c)",
        "s = Mul (x, c)  y = MatMul (s, wq)",
    ],
    ids=["read elsewhere", "not linear", "a term of another kind", "a vector", "a result", "an input"],
)
def test_what_weights_cannot_take_over_stays(body: str) -> None:
    model = network(body)
    before = result_of(model)
    assert fold_scalings(model.graph) == 0
    np.testing.assert_array_equal(result_of(model), before)
