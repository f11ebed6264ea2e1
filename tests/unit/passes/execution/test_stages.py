"""A model in stages: the same outputs from every point, and edits that act where they should."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import parser

from passes.errors import ModelError
from passes.execution.fake_quant import FakeQuantizer
from passes.execution.session import Level, Session
from passes.execution.stages import StagedModel, Variant
from passes.numerics import IntFormat, QuantParams, QuantSpec, fake_quantize

X = {"x": np.array([[1.0, -2.0], [0.5, 3.0], [-4.0, 0.25]], np.float32)}


@pytest.fixture
def proto() -> onnx.ModelProto:
    """A residual block: r = relu(x W + b), y = r + x, z = y W; W is read twice."""
    return parser.parse_model("""
        <ir_version: 8, opset_import: ["": 13]>
        net (float[N, 2] x) => (float[N, 2] z, float[N, 2] r)
        <float[2, 2] w = {1.0, 2.0, 3.0, -1.0}, float[2] b = {0.5, -0.5}>
        {
            m = MatMul(x, w)
            a = Add(m, b)
            r = Relu(a)
            y = Add(r, x)
            z = MatMul(y, w)
        }
    """)


@pytest.mark.parametrize("stages", [1, 2, 16])
def test_every_starting_point_leads_to_the_same_end(proto: onnx.ModelProto, stages: int) -> None:
    staged = StagedModel(proto, 1, stages)
    expected = Session(proto, Level.BASIC, 1).run(X)
    for start in range(staged.end + 1):
        values = staged.advance(X, 0, start)
        for found, wanted in zip(staged.finish(values, start), expected, strict=True):
            np.testing.assert_allclose(found, wanted, rtol=1e-6)


def test_a_frontier_holds_what_is_read_later_and_nothing_else(proto: onnx.ModelProto) -> None:
    staged = StagedModel(proto, 1)
    assert [set(staged.advance(X, 0, at)) for at in range(6)] == [
        {"x"}, {"m", "x"}, {"a", "x"}, {"r", "x"}, {"y", "r"}, {"z", "r"},
    ]  # fmt: skip
    assert [staged.after(name) for name in ("x", "m", "z")] == [0, 1, 5]


def test_edits_change_every_later_reader(proto: onnx.ModelProto) -> None:
    staged = StagedModel(proto, 1)
    variant = Variant({staged.after("r"): lambda values: {"r": values["r"] * 0}})
    z, r = staged.finish(X, 0, variant)
    np.testing.assert_array_equal(r, np.zeros_like(r))
    np.testing.assert_allclose(z, X["x"] @ np.array([[1, 2], [3, -1]], np.float32), rtol=1e-6)


def test_other_constants_reach_all_their_readers(proto: onnx.ModelProto) -> None:
    staged = StagedModel(proto, 1)
    eye = np.eye(2, dtype=np.float32)
    z, r = staged.finish(X, staged.reader("w"), Variant(constants={"w": eye}))
    expected = np.maximum(X["x"] + [0.5, -0.5], 0)
    np.testing.assert_allclose(r, expected)
    np.testing.assert_allclose(z, expected + X["x"], rtol=1e-6)
    np.testing.assert_allclose(staged.finish(X, 0)[0], Session(proto, Level.BASIC, 1).run(X)[0], rtol=1e-6)


def test_names_that_nothing_reads_are_refused(proto: onnx.ModelProto) -> None:
    with pytest.raises(ModelError, match="constant 'nothing'"):
        StagedModel(proto, 1).reader("nothing")
    with pytest.raises(ModelError, match="tensor 'nothing'"):
        StagedModel(proto, 1).after("nothing")


def test_dead_nodes_and_constant_outputs_are_no_obstacle() -> None:
    proto = parser.parse_model("""
        <ir_version: 8, opset_import: ["": 13]>
        net (float[N, 2] x) => (float[N, 2] y, float[1] c)
        <float[1] c = {4.0}>
        { dead = Neg(x)  y = Abs(x) }
    """)
    staged = StagedModel(proto, 1, stages=2)
    y, c = staged.finish(staged.advance(X, 0, 1), 1)
    np.testing.assert_array_equal(y, np.abs(X["x"]))
    assert c.tolist() == [4.0]


def test_bodies_keep_what_they_capture() -> None:
    branch = parser.parse_graph("body () => (float[N, 2] o) { o = Mul(kept, kept) }")
    proto = parser.parse_model("""
        <ir_version: 8, opset_import: ["": 13]>
        net (float[N, 2] x, bool c) => (float[N, 2] y)
        { kept = Neg(x)  other = Abs(x)  y = Add(other, other) }
    """)
    node = onnx.helper.make_node("If", ["c"], ["y"], then_branch=branch, else_branch=branch)
    proto.graph.node[2].CopyFrom(node)
    staged = StagedModel(proto, 1)
    feeds = X | {"c": np.array(True)}
    assert "kept" in staged.advance(feeds, 0, 2)
    np.testing.assert_array_equal(staged.finish(staged.advance(feeds, 0, 2), 2)[0], X["x"] ** 2)


@pytest.mark.parametrize(
    ("bits", "signed"), [(1, False), (2, False), (5, True), (8, True), (8, False), (16, False)]
)
def test_rounding_in_onnx_runtime_is_that_of_the_numerics(
    bits: int, signed: bool, rng: np.random.Generator
) -> None:
    x = rng.standard_normal((7, 11)).astype(np.float32) * 4
    spec = QuantSpec(IntFormat(bits, signed), symmetric=signed)
    zero = 0 if signed else spec.format.qmax // 3
    params = QuantParams(np.float32(0.1875), np.int32(zero))
    np.testing.assert_array_equal(FakeQuantizer(1)(x, spec, params), fake_quantize(x, spec, params))
