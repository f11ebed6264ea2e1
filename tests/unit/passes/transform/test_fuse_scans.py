"""Scans of recurrent cells, in several spellings, become the operator and compute the same."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper, parser

from passes.api import PassContext
from passes.execution.session import Level, Session
from passes.ir.layers import find_layers
from passes.ir.model import Model
from passes.ir.onnx_io import model_from_proto, to_proto
from passes.transform.canonicalize import Canonicalize

TIME, BATCH, INPUTS, HIDDEN = 5, 2, 3, 4
STATES = {"LSTM": ("h", "c"), "GRU": ("h",), "RNN": ("h",)}
SHAPES = {
    "w": (INPUTS, HIDDEN), "r": (HIDDEN, HIDDEN), "b": (HIDDEN,), "e": (HIDDEN,),
    "w3": (3 * HIDDEN, INPUTS), "r3": (3 * HIDDEN, HIDDEN), "b3": (3 * HIDDEN,), "e3": (3 * HIDDEN,),
    "w2": (INPUTS, 2 * HIDDEN), "r2": (HIDDEN, 2 * HIDDEN),
    "j4": (INPUTS + HIDDEN, 4 * HIDDEN), "b4": (4 * HIDDEN,), "j": (INPUTS + HIDDEN, HIDDEN),
}  # fmt: skip
RNN = "p = MatMul(x, w) q = MatMul(h, r) s = Add(p, q) a = Add(b, s) h1 = Tanh(a)"
LSTM = """
    xh = Concat<axis = 1>(x, h) a = MatMul(xh, j4) g = Add(a, b4)
    g1, g2, g3, g4 = Split<axis = -1, num_outputs = 4>(g)
    i = Sigmoid(g1) f = Sigmoid(g2) n = Tanh(g3) o = Sigmoid(g4)
    k = Mul(f, c) m = Mul(i, n) c1 = Add(m, k) t = Tanh(c1) h1 = Mul(o, t)
"""
GRU_AFTER = """
    a = Gemm<transB = 1>(x, w3, b3) d = Gemm<transB = 1>(h, r3, e3)
    a1, a2, a3 = Split<axis = 1, num_outputs = 3>(a) d1, d2, d3 = Split<axis = 1, num_outputs = 3>(d)
    s1 = Add(a1, d1) rs = Sigmoid(s1) s2 = Add(d2, a2) z = Sigmoid(s2)
    k = Mul(rs, d3) s3 = Add(a3, k) n = Tanh(s3) u = Sub(h, n) v = Mul(z, u) h1 = Add(v, n)
"""
GRU_BEFORE = """
    a = MatMul(x, w2) d = MatMul(h, r2) s = Add(a, d) g = Sigmoid(s)
    z = Slice(g, zero, four, one_axis) rs = Slice(g, four, eight, one_axis)
    k = Mul(h, rs) xk = Concat<axis = 1>(x, k) s3 = Gemm(xk, j, b) n = Tanh(s3)
    y = Sub(one, z) m = Mul(y, n) l = Mul(h, z) h1 = Add(l, m)
"""
CELLS = {
    "RNN": ("RNN", RNN),
    "LSTM": ("LSTM", LSTM),
    "after": ("GRU", GRU_AFTER),
    "before": ("GRU", GRU_BEFORE),
}


def build(op: str, text: str, *, reverse: bool = False, start: float = 0.0) -> Model:
    """A Scan over time with one state or two, of which the sequence and the last hidden state are results."""
    states = STATES[op]
    header = '<ir_version: 8, opset_import: ["" : 18]>'
    inner = parser.parse_model(
        f"{header} cell (float[{BATCH},{HIDDEN}] h) => (float[] h1) {{ {text} y1 = Identity(h1) }}"
    )
    body = inner.graph
    del body.input[:], body.output[:]
    sizes = dict.fromkeys(states, HIDDEN) | {"x": INPUTS}
    body.input.extend(helper.make_tensor_value_info(name, 1, ["N", size]) for name, size in sizes.items())
    results = [f"{name}1" for name in (*states, "y")]
    body.output.extend(helper.make_tensor_value_info(name, 1, ["N", HIDDEN]) for name in results)
    rng = np.random.default_rng(2)
    values = {name: rng.normal(size=shape).astype(np.float32) for name, shape in SHAPES.items()}
    values |= {"one": np.ones(1, np.float32), "init": np.full((BATCH, HIDDEN), start, np.float32)}
    places = {"zero": 0, "four": HIDDEN, "eight": 2 * HIDDEN, "one_axis": 1}
    values |= {name: np.array([place], np.int64) for name, place in places.items()}
    ways = {f"scan_{side}_directions": [int(reverse)] for side in ("input", "output")}
    scan = helper.make_node(
        "Scan", [*["init"] * len(states), "seq"], [*(f"last_{it}" for it in states), "out"], name="scan",
        num_scan_inputs=1, body=body, **ways,
    )  # fmt: skip
    graph = helper.make_graph(
        [scan],
        "net",
        [helper.make_tensor_value_info("seq", onnx.TensorProto.FLOAT, [TIME, BATCH, INPUTS])],
        [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in ("out", "last_h")],
        [numpy_helper.from_array(value, name) for name, value in values.items()],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    return model_from_proto(proto, "net", "0")


def outputs(model: Model) -> list[np.ndarray]:
    x = np.random.default_rng(1).normal(size=(TIME, BATCH, INPUTS)).astype(np.float32)
    return Session(to_proto(model), Level.BASIC, 1).run({"seq": x}, ["out", "last_h"])


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("name", CELLS)
def test_a_scan_becomes_the_operator(ctx: PassContext, name: str, reverse: bool) -> None:
    before, model = outputs(build(*CELLS[name], reverse=reverse)), build(*CELLS[name], reverse=reverse)
    Canonicalize().run(model, ctx)
    (layer,), refused = find_layers(model.graph)
    assert (layer.op, refused) == (CELLS[name][0], ())
    for found, wanted in zip(outputs(model), before, strict=True):
        np.testing.assert_allclose(found, wanted, atol=2e-6)


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("RNN", "h1 = Tanh(a)", "h1 = Sigmoid(a)"),
        ("LSTM", "c1 = Add(m, k)", "c1 = Add(m, f)"),
        ("LSTM", "t = Tanh(c1)", "t = Tanh(c)"),
        ("after", "u = Sub(h, n)", "u = Sub(n, h)"),
        ("after", "s3 = Add(a3, k)", "s4 = Add(a3, k) s3 = Add(s4, h)"),
        ("before", "y = Sub(one, z)", "y = Sub(one, rs)"),
        ("before", "l = Mul(h, z)", "l = Mul(n, z)"),
    ],
)
def test_another_cell_stays_a_scan(ctx: PassContext, name: str, old: str, new: str) -> None:
    op, text = CELLS[name]
    assert old in text
    model = build(op, text.replace(old, new))
    Canonicalize().run(model, ctx)
    assert [node.op for node in model.graph.nodes] == ["Scan"]


def test_a_body_that_doubles_its_sums_is_walked_once(ctx: PassContext) -> None:
    sums = " ".join(f"s{index + 1} = Add(s{index}, s{index})" for index in range(100))
    model = build("RNN", f"p = MatMul(x, w) s0 = Add(p, h) {sums} h1 = Tanh(s100)")
    Canonicalize().run(model, ctx)
    (layer,), _ = find_layers(model.graph)
    assert layer.op == "RNN"


def test_a_state_that_starts_elsewhere_stays_a_scan(ctx: PassContext) -> None:
    model = build(*CELLS["RNN"], start=0.5)
    Canonicalize().run(model, ctx)
    assert [node.op for node in model.graph.nodes] == ["Scan"]
