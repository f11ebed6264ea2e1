"""Shapes that are computed from symbolic axes become constants."""

from __future__ import annotations

import numpy as np
import pytest

from hwmodels.registry import load_target
from passes.api import PassContext
from passes.execution.session import Level, Session
from passes.ir.extent import Extent
from passes.ir.model import Model
from passes.ir.onnx_io import model_from_text, to_proto
from passes.transform.canonicalize import Canonicalize

TEXT = """
<ir_version: 8, opset_import: ["" : 17]>
net (float[{axes}] x) => (float y)
<int64 at0 = {{0}}, int64 at1 = {{1}}, int64[1] zero = {{0}}, int64[1] one = {{1}}, int64[1] last = {{-1}},
 int64[1] two = {{2}}, int64[1] four = {{4}}, int64[1] eight = {{8}},
 int64 heads = {{2}}, int64[1] end = {{9}}>
{{
    s = Shape(x)
    {body}
}}
"""
HEAD = "n0 = Gather(s, at0) n = Unsqueeze(n0, zero) m0 = Gather(s, at1) m = Unsqueeze(m0, zero)"

DOUBLED = "k = Mul(m0, heads) u = Unsqueeze(k, zero)"


def canonical(body: str, axes: str = "N,M,8") -> Model:
    model = model_from_text(TEXT.format(body=body, axes=axes))
    Canonicalize().run(model, PassContext(load_target("generic")))
    return model


@pytest.mark.parametrize(
    ("body", "target"),
    [
        (f"{HEAD} t = Concat<axis = 0>(n, m, four, two) y = Reshape(x, t)", [0, 0, 4, 2]),
        (f"{HEAD} t = Concat<axis = 0>(n, last, two) y = Reshape(x, t)", [0, -1, 2]),
        (f"{HEAD} {DOUBLED} t = Concat<axis = 0>(n, u, four) y = Reshape(x, t)", [0, -1, 4]),
        ("a = Slice(s, zero, two) t = Concat<axis = 0>(a, two, four) y = Reshape(x, t)", [0, 0, 2, 4]),
    ],
)
def test_a_target_of_symbolic_axes_becomes_a_constant(body: str, target: list[int]) -> None:
    (node,) = canonical(body).graph.nodes
    assert (node.op, node.inputs[1].values.tolist()) == ("Reshape", target)


def test_two_unknown_extents_stay_computed() -> None:
    body = f"{HEAD} t = Concat<axis = 0>(m, n, eight) y = Reshape(x, t)"
    assert "Concat" in [node.op for node in canonical(body).graph.nodes]


def test_what_a_reshape_makes_known_is_used_again() -> None:
    # The second shape is known only after the first Reshape has a constant target.
    body = (
        f"{HEAD} t = Concat<axis = 0>(n, four, last) r = Reshape(x, t) q = Shape(r)"
        " e = Slice(q, one, end) c = Concat<axis = 0>(last, e) y = Reshape(r, c)"
    )
    model = canonical(body, axes="N,2,8")
    assert [node.inputs[1].values.tolist() for node in model.graph.nodes] == [[0, 4, -1], [-1, 4, 0]]


def test_results_are_the_same() -> None:
    body = (
        f"{HEAD} k = Mul(m0, heads) u = Unsqueeze(k, zero) t = Concat<axis = 0>(u, n, four) y = Reshape(x, t)"
    )
    x = np.arange(48, dtype=np.float32).reshape(2, 3, 8)
    before = Session(to_proto(model_from_text(TEXT.format(body=body, axes="N,M,8"))), Level.BASIC, 1)
    after = Session(to_proto(canonical(body)), Level.BASIC, 1)
    np.testing.assert_array_equal(after.run({"x": x})[0], before.run({"x": x})[0])


def test_extents_multiply_and_divide() -> None:
    batch = Extent(1, ("batch",))
    assert 4 * batch == Extent(4, ("batch",))
    assert (batch * 6) // 3 == Extent(2, ("batch",))
    assert (batch * 6) // batch == 6
    assert batch * 0 == 0
    with pytest.raises(ValueError, match="not a multiple"):
        _ = batch // 2
