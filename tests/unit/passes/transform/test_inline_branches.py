"""An If whose condition is known gives way to the branch that it takes."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx.reference import ReferenceEvaluator

from hwmodels import load_target
from passes.api import PassContext
from passes.ir.onnx_io import model_from_text, to_proto
from passes.transform.canonicalize import Canonicalize

TWO_RESULTS = """
<ir_version: 9, opset_import: ["" : 17]>
g (float[2] x) => (float[2] y, float[2] z)
<bool taken = {%d}, float[1] two = {2}>
{
    doubled = Mul(x, two)
    first, second = If(taken) <
        then_branch = yes () => (float[2] a, float[2] b) {
            a = Add(doubled, two)  half = Div(a, two)  b = Sub(half, x)
        },
        else_branch = no () => (float[2] c, float[2] d) {
            c = Identity(doubled)  half = Neg(doubled)  d = Abs(half)
        }
    >
    third, fourth = If(taken) <
        then_branch = yes2 () => (float[2] a2, float[2] b2) {
            half = Mul(first, two)  a2 = Sqrt(half)  b2 = Add(half, second)
        },
        else_branch = no2 () => (float[2] c2, float[2] d2) {
            c2 = Add(first, second)  d2 = Identity(x)
        }
    >
    y = Add(first, third)
    z = Mul(second, fourth)
}
"""


@pytest.mark.parametrize("taken", [0, 1])
def test_both_branches_give_what_they_gave(taken: int) -> None:
    model = model_from_text(TWO_RESULTS % taken)
    feeds = {"x": np.array([1.5, 3.0], np.float32)}
    before = ReferenceEvaluator(to_proto(model)).run(None, feeds)
    Canonicalize().run(model, PassContext(load_target("generic")))
    after = to_proto(model)
    onnx.checker.check_model(after)
    assert "If" not in {node.op_type for node in after.graph.node}
    names = [node.name for node in after.graph.node]
    assert len(names) == len(set(names))
    assert all(names)
    for expected, found in zip(before, ReferenceEvaluator(after).run(None, feeds), strict=True):
        np.testing.assert_array_equal(found, expected)


NESTED = """
<ir_version: 9, opset_import: ["" : 17]>
g (float[1] x) => (float[1] y, float[1] z)
<bool yes = {1}, bool no = {0}>
{
    y = If(yes) <
        then_branch = outer () => (float[1] a) {
            inner = If(no) <
                then_branch = never () => (float[1] b) { b = Neg(x) },
                else_branch = taken () => (float[1] c) {
                    k = Constant <value = float[1] {3}> ()  c = Mul(x, k)
                }
            >
            k1 = Constant <value = float[1] {5}> ()
            a = Add(inner, k1)
        },
        else_branch = other () => (float[1] d) { d = Abs(x) }
    >
    z = If(yes) <
        then_branch = outer2 () => (float[1] e) { k = Constant <value = float[1] {7}> ()  e = Mul(x, k) },
        else_branch = other2 () => (float[1] f) { f = Abs(x) }
    >
}
"""


def test_branches_in_branches_and_constants_of_one_name_stay_apart() -> None:
    model = model_from_text(NESTED)
    Canonicalize().run(model, PassContext(load_target("generic")))
    after = to_proto(model)
    onnx.checker.check_model(after)
    y, z = ReferenceEvaluator(after).run(None, {"x": np.array([2.0], np.float32)})
    assert (y.item(), z.item()) == (11.0, 14.0)


SOME_AXES = """
<ir_version: 9, opset_import: ["" : 17]>
g (float[2,3,5] x) => (int64[n] y)
{ y = Shape <%s> (x) }
"""


@pytest.mark.parametrize(
    "attributes",
    ["start = 1", "end = -1", "start = -2, end = 10", "start = 1, end = 2", "start = 2, end = 1"],
)
def test_the_shape_of_some_axes_is_folded_to_theirs(attributes: str) -> None:
    model = model_from_text(SOME_AXES % attributes)
    feeds = {"x": np.zeros((2, 3, 5), np.float32)}
    expected = ReferenceEvaluator(to_proto(model)).run(None, feeds)[0]
    Canonicalize().run(model, PassContext(load_target("generic")))
    np.testing.assert_array_equal(ReferenceEvaluator(to_proto(model)).run(None, feeds)[0], expected)


def test_nodes_come_after_what_their_bodies_read() -> None:
    text = """
    <ir_version: 9, opset_import: ["" : 17]>
    g (float[2] x, bool c) => (float[2] y)
    {
        late = Neg(x)
        y = If(c) <
            then_branch = yes () => (float[2] a) { a = Abs(late) },
            else_branch = no () => (float[2] b) { b = Exp(late) }
        >
    }
    """
    model = model_from_text(text)
    model.graph.nodes.reverse()
    assert [node.op_type for node in to_proto(model).graph.node] == ["Neg", "If"]
