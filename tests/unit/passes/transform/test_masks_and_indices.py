"""Masks select instead of being added, and indices that only count disappear."""

from __future__ import annotations

import numpy as np
import pytest

from hwmodels.registry import load_target
from passes.api import PassContext
from passes.execution.session import Level, Session
from passes.ir.extent import Extent
from passes.ir.known_integers import known_integers
from passes.ir.model import Model
from passes.ir.onnx_io import model_from_text, to_proto
from passes.ir.setup import quantizer_setup
from passes.transform.canonicalize import Canonicalize
from passes.transform.index_values import Affine, AllTrue, index_values

TEXT = """
<ir_version: 8, opset_import: ["" : 17]>
net (float[N,T,T] x, int64[N,T] mask) => (float[A,B,C] y)
<float zero = {{0}}, float low = {{{low}}}, int64[1] first = {{0}}, int64[1] second = {{1}},
 int64[3] keep_shape = {{0, 1, -1}}, int64 none = {{0}}, int64 unit = {{1}}, int64[1] last = {{-1}},
 float[3,3] causal = {{0, {low}, {low}, 0, 0, {low}, 0, 0, 0}},
 float[3,3] odd = {{1, 2, 3, 4, 5, 6, 7, 8, 9}}>
{{ {body} }}
"""
LENGTH = "s = Shape(mask) t = Gather(s, second) "
CUT = LENGTH + "r = Slice({table}, first, t, first) c = Slice(r, first, t, second) "
COUNTED = """
    s = Shape(mask) n = Gather(s, none) t = Gather(s, unit)
    i = Range(none, n, unit) iu = Unsqueeze(i, second) ic = Mul(iu, t)
    j = Range(none, t, unit) ju = Unsqueeze(j, first) at = Add(ic, ju)
    b = Cast<to = 9>(mask) flat = Reshape(b, last) picked = Gather(flat, at)
    deep = Unsqueeze(picked, second)
"""


def model_of(body: str, low: float = -1e30) -> Model:
    return model_from_text(TEXT.format(body=body, low=low))


def check_same(body: str, low: float = -1e30) -> Model:
    """Canonicalize, and check that outputs stay."""
    changed = model_of(body, low)
    Canonicalize().run(changed, PassContext(load_target("generic")))
    feeds = {
        "x": np.random.default_rng(1).standard_normal((2, 3, 3)).astype(np.float32),
        "mask": np.array([[1, 1, 0], [1, 0, 0]]),
    }
    old, new = (Session(to_proto(it), Level.BASIC, 1).run(feeds)[0] for it in (model_of(body, low), changed))
    np.testing.assert_allclose(new, old, rtol=1e-6, atol=1e-6)
    return changed


def ops(model: Model) -> list[str]:
    return [node.op for node in model.graph.nodes]


def test_a_cut_causal_mask_selects() -> None:
    model = check_same(CUT.format(table="causal") + "a = Add(x, c) y = Softmax<axis = -1>(a)", -1e4)
    where = next(node for node in model.graph.nodes if node.op == "Where")
    assert where.inputs[0].dtype == np.bool_
    assert where.inputs[0].shape == ["T", "T"]
    assert "Add" not in ops(model)


@pytest.mark.parametrize(("table", "low"), [("odd", -1e30), ("causal", -5.0)])
def test_what_is_no_mask_is_added(table: str, low: float) -> None:
    model = check_same(CUT.format(table=table) + "a = Add(x, c) y = Softmax<axis = -1>(a)", low)
    assert "Where" not in ops(model)


def test_a_mask_whose_sum_leaves_the_model_is_added() -> None:
    assert "Where" not in ops(check_same(CUT.format(table="causal") + "y = Add(x, c)"))


def test_a_counted_gather_of_a_mask_is_a_reshape() -> None:
    body = COUNTED + "m = Where(deep, zero, low) a = Add(x, m) y = Softmax<axis = -1>(a)"
    model = check_same(body)
    left = ops(model)
    assert not {"Range", "Gather", "Mul", "Add"} & set(left)
    assert {"Cast", "Where", "Softmax"} <= set(left)


def test_counted_indices_are_known() -> None:
    model = model_of(COUNTED + "z = Cast<to = 1>(deep) y = Add(x, z)")
    found = index_values(model.graph, known_integers(model.graph))
    rows, columns = Extent(1, ("N",)), Extent(1, ("T",))
    assert found["at"] == Affine((rows, columns), 0, (columns, 1))


def test_a_count_is_never_below_its_start() -> None:
    body = COUNTED + "ge = GreaterOrEqual(at, none) z = Cast<to = 1>(ge) y = Add(x, z)"
    model = model_of(body)
    assert index_values(model.graph, known_integers(model.graph))["ge"] == AllTrue()


def test_indices_in_another_order_stay() -> None:
    swapped = COUNTED.replace("ic = Mul(iu, t)", "ic = Mul(iu, unit)").replace(
        "at = Add(ic, ju)", "at = Add(ju, ic)"
    )
    body = swapped + "z = Cast<to = 1>(deep) y = Add(x, z)"
    assert "Gather" in ops(check_same(body))


def test_a_hidden_softmax_is_not_integer_between_floats() -> None:
    body = CUT.format(table="causal") + "a = Add(x, c) e = Exp(a) p = Softmax<axis = -1>(e) y = MatMul(p, x)"
    setup = quantizer_setup(check_same(body).graph)
    assert {entry.op for entry in setup.unquantized} >= {"Exp", "Softmax"}
