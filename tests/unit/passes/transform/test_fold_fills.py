"""Tensors of one value and of a size known at run time, as operands of arithmetic."""

from __future__ import annotations

import numpy as np
import pytest

from passes.api import PassContext
from passes.execution.session import Level, Session
from passes.ir.model import Model
from passes.ir.onnx_io import model_from_text, to_proto
from passes.transform.canonicalize import Canonicalize

TEXT = """
<ir_version: 8, opset_import: ["" : 17]>
g (float[N,3] x) => (float[N,3] y)
<int64[1] three = {{3}}, float[3] v = {{1, 2, 4}}, int64[1] two = {{2}}>
{{
    [shape] n = Shape<start = 0, end = 1>(x)
    [extents] e = Concat<axis = 0>({extents})
    [fill] f = ConstantOfShape{value}(e)
    {body}
}}
"""
ONES = "<value = float[1] {1}>"


def build(body: str, value: str = "", extents: str = "n, three") -> Model:
    return model_from_text(TEXT.format(body=body, value=value, extents=extents))


def run(model: Model) -> np.ndarray:
    x = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)
    return Session(to_proto(model), Level.BASIC, 1).run({"x": x})[0]


@pytest.mark.parametrize(
    ("body", "value", "ops"),
    [
        ("[a] s = Add(x, f) [r] y = Relu(s)", "", ["Relu"]),
        ("[a] s = Sub(x, f) [r] y = Relu(s)", "", ["Relu"]),
        ("[a] s = Sub(f, x) [r] y = Relu(s)", "", ["Sub", "Relu"]),
        ("[a] s = Sub(f, x) [r] y = Relu(s)", ONES, ["Sub", "Relu"]),
        ("[m] p = Mul(f, v) [a] s = Add(p, x) [r] y = Relu(s)", ONES, ["Add", "Relu"]),
        ("[m] p = Mul(v, f) [a] s = Add(x, p) [r] y = Relu(s)", "", ["Relu"]),
        ("[a] y = Add(x, f)", "", ["Add"]),
    ],
)
def test_what_is_known_is_folded(ctx: PassContext, body: str, value: str, ops: list[str]) -> None:
    expected, model = run(build(body, value)), build(body, value)
    Canonicalize().run(model, ctx)
    assert [node.op for node in model.graph.nodes] == ops
    np.testing.assert_array_equal(run(model), expected)


def test_a_fill_that_makes_a_tensor_larger_stays(ctx: PassContext) -> None:
    body = "[wide] u = Unsqueeze(x, two) [a] s = Add(u, f) [cut] y = ReduceMax<axes = [2], keepdims = 0>(s)"
    model = build(body, extents="n, three, three")
    Canonicalize().run(model, ctx)
    assert "ConstantOfShape" in [node.op for node in model.graph.nodes]
