"""Models at a higher opset give what they gave, and still run."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import parser

from passes.errors import ModelError
from passes.execution.session import Level, Session
from passes.ir.onnx_io import model_from_text, opset_of
from passes.ir.opsets import highest_opset, raise_opset

X = np.random.default_rng(0).standard_normal((2, 3, 4, 5)).astype(np.float32)
SCALES = "s = Constant<value = float[4] {{1, 1, {0}, {0}}}>()"
BRANCH = """c = Constant<value = bool {1}>()
    y = If(c) <then_branch = one () => (float[] a) { a = Hardmax(x) },
               else_branch = two () => (float[] b) { b = Neg(x) }>"""


@pytest.fixture
def proto() -> onnx.ModelProto:
    return net("h = Relu(x) y = Neg(h)", 13)


def net(body: str, opset: int) -> onnx.ModelProto:
    return parser.parse_model(
        f'<ir_version: 8, opset_import: ["" : {opset}]> net (float[2,3,4,5] x) => (float[] y) {{ {body} }}'
    )


@pytest.mark.parametrize(("opset", "ir_version"), [(13, 8), (21, 10), (25, 13)])
def test_raising_the_opset_raises_the_ir_version(opset: int, ir_version: int, proto: onnx.ModelProto) -> None:
    raised = raise_opset(proto, opset)
    assert (opset_of(raised), raised.ir_version) == (opset, ir_version)


def test_an_operator_that_cannot_be_moved_is_reported(proto: onnx.ModelProto) -> None:
    proto.graph.node[1].op_type = "Unheard"
    with pytest.raises(ModelError, match="cannot move the model from opset 13 to 21"):
        raise_opset(proto, 21)


def test_an_operator_that_onnx_does_not_have_is_named() -> None:
    with pytest.raises(ModelError, match="ONNX has no operator RequantShift"):
        raise_opset(net("h = RequantShift(x) y = Neg(h)", 10), 13)


def test_an_opset_is_never_lowered(proto: onnx.ModelProto) -> None:
    assert opset_of(raise_opset(proto, 11)) == 13


@pytest.mark.parametrize(
    ("body", "opset"),
    [
        ("y = Hardmax(x)", 11),
        ("y = Hardmax<axis = 2>(x)", 12),
        ("y = Hardmax<axis = -1>(x)", 11),
        ("h = Relu(x) y = Hardmax<axis = 0>(h)", 7),
        (BRANCH, 11),
        ('y = Upsample<mode = "linear", scales = [1.0, 1.0, 2.0, 2.0]>(x)', 7),
        ("y = Upsample<scales = [1.0, 1.0, 2.0, 3.0]>(x)", 7),
        *(
            (f'{SCALES.format(scale)} y = Resize<mode = "{mode}">(x, s)', 10)
            for mode in ("linear", "nearest")
            for scale in (0.3, 0.5, 0.75, 1.3, 2)
        ),
    ],
)
def test_operators_whose_meaning_changed_keep_theirs(body: str, opset: int) -> None:
    before = net(body, opset)
    (expected,) = Session(before, Level.BASIC, 1).run({"x": X})
    for higher in (13, 22):
        raised = raise_opset(before, higher)
        (found,) = Session(raised, Level.BASIC, 1).run({"x": X})
        np.testing.assert_allclose(found, expected, atol=1e-6)


def test_operators_without_kernels_of_later_opsets_hold_a_model_back() -> None:
    text = """<ir_version: 8, opset_import: ["" : 16]> net (float[1,3,4,5] x, bool c) => (float[] y) {
        r = Constant<value = float[1,4] {0, 0, 2, 2}>() i = Constant<value = int64[1] {0}>()
        y = If(c) <then_branch = one () => (float[] a) { a = RoiAlign(x, r, i) },
                   else_branch = two () => (float[] b) { b = GlobalLpPool(x) }> }"""
    assert highest_opset(model_from_text(text).graph) == 21
    proto = parser.parse_model(text)
    Session(raise_opset(proto, 21), Level.BASIC, 1)
    with pytest.raises(ModelError, match="runs its operators up to opset 21 only"):
        raise_opset(proto, 22)
