"""Rewrites of canonicalize for exports with channels last and in small operators."""

from __future__ import annotations

import numpy as np
import pytest

from hwmodels.registry import load_target
from passes.api import PassContext
from passes.execution.session import Level, Session
from passes.ir.model import Model
from passes.ir.onnx_io import model_from_text, to_proto
from passes.transform.canonicalize import Canonicalize

TEXT = """
<ir_version: 8, opset_import: ["" : {opset}]>
net (float[N,2,4,4] x) => ({output})
<float[2,2,1,1] w = {{1, -2, 3, 4}}, float[2] b = {{7, -8}}, float[2] vector = {{3, -2}},
 float[1,2,1,1] across = {{2, 4}},
 float[4] row = {{1, 2, 3, 4}}, float six = {{6}}, float three = {{3}}, float zero = {{0}}, float two = {{2}},
 float huge = {{3e38}}, float one = {{1}}, float[1] nine = {{9}}, int64[8] pads = {{0, 1, 2, 0, 0, 0, 0, 0}},
 int64[2] places = {{1, 2}}, float[4] gain = {{1, 2, -3, 4}},
 float[4] shift = {{5, 6, 7, 8}}, float eps = {{0.00001}}>
{{ {body} }}
"""
X = np.random.default_rng(5).standard_normal((3, 2, 4, 4)).astype(np.float32)
LAST, SECOND = "Transpose<perm = [0, 2, 3, 1]>", "Transpose<perm = [0, 3, 1, 2]>"


def check_same(body: str, opset: int = 17, output: str = "float[A,B,C,D] y") -> list[str]:
    """Compare results before and after; return the operators that are left."""
    text = TEXT.format(body=body.replace("LAST", LAST).replace("SECOND", SECOND), opset=opset, output=output)
    changed: Model = model_from_text(text)
    Canonicalize().run(changed, PassContext(load_target("generic")))
    pair = (to_proto(model_from_text(text)), to_proto(changed))
    before, after = (Session(proto, Level.BASIC, 1).run({"x": X})[0] for proto in pair)
    np.testing.assert_allclose(after, before, rtol=1e-5, atol=1e-5)
    return [node.op for node in changed.graph.nodes]


@pytest.mark.parametrize(
    ("body", "left"),
    [
        (
            "c = Conv(x, w) t = LAST(c) m = Mul(t, vector) a = Add(m, b) r = Relu(a) y = SECOND(r)",
            ["Conv", "Relu"],
        ),
        ("c = Conv(x, w, b) t = LAST(c) r = Relu(t) s = Min(six, r) y = SECOND(s)", ["Conv", "Clip"]),
        ("c = Conv(x, w) t = LAST(c) p = Pad(t, pads) s = SECOND(p) y = Conv(s, w)", ["Conv", "Pad", "Conv"]),
        (
            "c = Conv(x, w) t = LAST(c) d = Conv(x, w, b) u = LAST(d) a = Add(t, u) y = SECOND(a)",
            ["Conv", "Conv", "Add"],
        ),
        ("c = Conv(x, w) t = LAST(c) m = Mul(t, t) y = SECOND(m)", ["Conv", "Mul"]),
        ("c = Conv(x, w) t = LAST(c) y = Transpose<perm = [0, 2, 1, 3]>(t)", ["Conv", "Transpose"]),
        ("c = Conv(x, w) t = LAST(c) y = Sigmoid(t)", ["Conv", "Sigmoid", "Transpose"]),
        ("c = Conv(x, w) t = LAST(c) y = ReduceMean<axes = [1, 2]>(t)", ["Conv", "ReduceMean", "Transpose"]),
    ],
)
def test_transposes_behind_convolutions_sink(body: str, left: list[str]) -> None:
    assert check_same(body) == left


def test_a_mean_over_places_keeps_no_transpose() -> None:
    mean = "c = Conv(x, w) t = LAST(c) y = ReduceMean<axes = [1, 2], keepdims = 0>(t)"
    assert check_same(mean, output="float[A,B] y") == ["Conv", "ReduceMean"]
    mean = "c = Conv(x, w) t = LAST(c) y = ReduceMean<keepdims = 0>(t, places)"
    assert check_same(mean, opset=18, output="float[A,B] y") == ["Conv", "ReduceMean"]


@pytest.mark.parametrize(
    "body",
    [
        "t = LAST(x) m = Mul(t, vector) y = SECOND(m)",
        "c = Conv(x, w) t = LAST(c) k = Softmax(t) y = SECOND(k)",
        "c = Conv(x, w) t = Transpose<perm = [0, 1, 3, 2]>(c) y = Relu(t)",
    ],
)
def test_other_transposes_stay(body: str) -> None:
    assert "Transpose" in check_same(body)


@pytest.mark.parametrize(
    ("body", "left"),
    [
        (
            "c = Conv(x, w, b) m = Mul(across, c) a = Sub(m, across) d = Div(a, two) y = Add(nine, d)",
            ["Conv"],
        ),
        ("c = ConvTranspose(x, w) m = Mul(across, c) y = Add(m, across)", ["ConvTranspose"]),
        ("c = Conv(x, w) y = Sub(two, c)", ["Conv", "Sub"]),
        ("c = Conv(x, w) y = Add(c, row)", ["Conv", "Add"]),
        ("c = Conv(x, w) m = Mul(c, huge) y = Div(m, huge)", ["Conv", "Mul", "Div"]),
        ("c = Conv(x, w) m = Mul(c, across) y = Add(m, c)", ["Conv", "Mul", "Add"]),
    ],
)
def test_factors_and_summands_of_channels_fold_into_convolutions(body: str, left: list[str]) -> None:
    assert check_same(body) == left


@pytest.mark.parametrize(
    ("body", "left"),
    [
        ("m = Min(x, six) y = Max(zero, m)", ["Clip"]),
        ("r = Relu(x) y = Clip(r, , two)", ["Clip"]),
        ("c = Clip(x, three, six) y = Clip(c, zero, two)", ["Clip", "Clip"]),
        ("m = Max(x, x, three) y = Identity(m)", ["Max"]),
        ("f = ReduceMax<keepdims = 0>(x) y = Clip(x, f)", ["ReduceMax", "Clip"]),
    ],
)
def test_bounds_are_one_clip(body: str, left: list[str]) -> None:
    assert check_same(body) == left


@pytest.mark.parametrize("sixth", ["Div({}, six)", "Mul({}, sixth)"])
def test_hard_sigmoid_and_hard_swish(sixth: str) -> None:
    head = "sixth = Constant<value_float = 0.16666667>() a = Add(x, three) r = Clip(a, zero, six)"
    assert check_same(f"{head} y = {sixth.format('r')}") == ["HardSigmoid"]
    assert check_same(f"{head} h = {sixth.format('r')} y = Mul(h, x)") == ["HardSwish"]
    assert check_same(f"{head} p = Mul(x, r) y = {sixth.format('p')}") == ["HardSwish"]
    assert "HardSwish" not in check_same(f"{head} h = {sixth.format('r')} y = Mul(h, h)")
    assert "HardSigmoid" not in check_same(f"{head} y = Div(six, r)")


@pytest.mark.parametrize(
    "factor", ["i = Reciprocal(s) f = Mul(gain, i)", "i = Div(one, s) f = Mul(i, gain)", "f = Div(gain, s)"]
)
def test_layer_normalization_as_an_affine_function(factor: str) -> None:
    head = f"""m = ReduceMean<axes = [-1]>(x) c = Sub(x, m) q = Mul(c, c) v = ReduceMean<axes = [-1]>(q)
        e = Add(v, eps) s = Sqrt(e) {factor} a = Mul(f, x)"""
    assert check_same(f"{head} k = Mul(m, f) d = Sub(shift, k) y = Add(a, d)") == ["LayerNormalization"]
    assert "Sqrt" in check_same(f"{head} k = Mul(c, f) d = Sub(shift, k) y = Add(a, d)")
    assert "Sqrt" in check_same(f"{head} k = Mul(m, f) d = Sub(k, shift) y = Add(a, d)")


@pytest.mark.parametrize("number", ["value_float = 2.5", "value_floats = [2.5]"])
def test_numbers_are_of_the_type_of_what_is_beside_them(number: str) -> None:
    assert check_same(f"n = Constant<{number}>() y = Mul(x, n)") == ["Mul"]
    assert check_same(
        f"n = Constant<{number}>() l = CastLike(n, x) y = Clip(x, l)".replace("[2.5]", "[2.5]")
    ) == ["Clip"]


def test_what_is_constant_from_the_start_is_folded() -> None:
    assert check_same("v = Transpose<perm = [1, 0, 2, 3]>(w) y = Conv(x, v)") == ["Conv"]
