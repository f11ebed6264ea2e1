"""Loops of few steps are written out and compute the same; others stay."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
import pytest
from onnx import parser

from hwmodels import load_target
from passes.api import PassContext
from passes.execution.session import Level, Session
from passes.ir.model import Model
from passes.ir.onnx_io import model_from_proto, to_proto
from passes.transform.canonicalize import Canonicalize

TRUE = "Constant<value = bool {1}>()"
CELL = "r = Gather<axis = 0>(x, i) f = Sigmoid(r) d = Sub(c, u) p = Mul(f, d) c1 = Add(p, u) h = Mul(c1, f)"
COUNTS = "k = Cast<to = 1>(i) p = Mul(c, k) c1 = Add(p, u) h = Neg(k)"
X = np.random.default_rng(5).standard_normal((4, 2, 3)).astype(np.float32)


def build(
    cell: str = CELL,
    *,
    opset: int = 13,
    trips: str = "Constant<value = int64 {4}>()",
    condition: str = TRUE,
    keeps: str = "on1 = Identity(on)",
    inputs: str = "",
) -> onnx.ModelProto:
    """A Loop over a sequence, with a state, of which the last state and a sequence are results."""
    proto = parser.parse_model(
        f"""<ir_version: 8, opset_import: ["" : {opset}]>
        net (float[4,2,3] x{inputs}) => (float[] last, float[] all) {{
            u = Constant<value = float[2,3] {{1, 2, 3, 4, 5, 6}}>() t = {trips} o = {condition}
            last, all = Loop(t, o, u) <body = step (int64 i, bool on, float[2,3] c) =>
                (bool on1, float[2,3] c1, float[] h) {{ {keeps} {cell} }}>
        }}"""
    )
    for node in proto.graph.node:
        node.input[:] = ["" if name == "o" and condition == "Identity(t)" else name for name in node.input]
    return proto


def canonical(proto: onnx.ModelProto) -> Model:
    model = model_from_proto(onnx.ModelProto.FromString(proto.SerializeToString()), "net.onnx", "0" * 64)
    Canonicalize().run(model, PassContext(load_target("generic")))
    return model


@pytest.mark.parametrize("opset", [9, 11, 13, 18])
@pytest.mark.parametrize(
    "proto",
    [
        build,
        lambda opset: build(opset=opset, condition="Identity(t)"),
        lambda opset: build(opset=opset, keeps=f"on1 = {TRUE}"),
        lambda opset: build(opset=opset, trips="Constant<value = int64[1] {1}>()"),
        lambda opset: build(COUNTS, opset=opset),
    ],
    ids=["state", "no condition", "true inside", "one step", "counted"],
)
def test_a_loop_that_is_written_out_computes_what_it_did(
    proto: Callable[..., onnx.ModelProto], opset: int
) -> None:
    before = proto(opset=opset)
    model = canonical(before)
    assert "Loop" not in {node.op for node in model.graph.nodes}
    expected = Session(before, Level.BASIC, 1).run({"x": X})
    found = Session(to_proto(model), Level.BASIC, 1).run({"x": X})
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    "proto",
    [
        build(keeps="m = ReduceMax<keepdims = 0>(c) z = Constant<value = float {9}>() on1 = Less(m, z)"),
        build(trips="Constant<value = int64 {0}>()"),
        build(trips="Constant<value = int64 {4000}>()"),
        build(trips="Identity(n)", inputs=", int64 n"),
        build(condition="Identity(g)", inputs=", bool g"),
        build(condition="Constant<value = bool {0}>()"),
        build("w = Transpose(u) k = MatMul(c, w) c1 = MatMul(k, c) h = Identity(k)"),
    ],
    ids=["ends by itself", "no steps", "long", "any steps", "asked first", "never", "products"],
)
def test_other_loops_stay(proto: onnx.ModelProto) -> None:
    assert "Loop" in {node.op for node in canonical(proto).graph.nodes}


def test_names_stay_unique() -> None:
    model = canonical(build())
    names = [node.name for node in model.graph.nodes]
    assert len(set(names)) == len(names)


def test_a_loop_over_sequences_stays() -> None:
    proto = parser.parse_model(
        f"""<ir_version: 8, opset_import: ["" : 13]> net (float[4,2,3] x) => (float[] y) {{
            e = SequenceEmpty() t = Constant<value = int64 {{3}}>() o = {TRUE}
            s = Loop(t, o, e) <body = step (int64 i, bool on, seq(float[4,2,3]) c) =>
                (bool on1, seq(float[4,2,3]) c1) {{ on1 = Identity(on) c1 = SequenceInsert(c, x) }}>
            y = ConcatFromSequence<axis = 0>(s)
        }}"""
    )
    model = canonical(proto)
    assert "Loop" in {node.op for node in model.graph.nodes}
    (found,) = Session(to_proto(model), Level.BASIC, 1).run({"x": X})
    np.testing.assert_array_equal(found, np.concatenate([X, X, X]))
