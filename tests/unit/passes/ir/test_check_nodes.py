"""Nodes that contradict their operator are refused when a model is read."""

from __future__ import annotations

import pytest
from onnx import helper, parser

from passes.errors import ModelError
from passes.ir.onnx_io import model_from_proto

REFUSED = {
    "h = Relu(x) h = Neg(x) y = Abs(h)": "'h' is a constant or the result of another node",
    "w = Relu(x) y = Neg(w)": "'w' is a constant or the result of another node",
    'y = Gemm<alpha = "x">(x, w)': "expected attribute 'alpha' of type FLOAT, found STRING",
    "a, y = Split<axis = 1.5>(x)": "expected attribute 'axis' of type INT, found FLOAT",
    "y = Concat(x, x)": "expected an attribute 'axis', found none",
    "y = Clip<min = 0.0>(x)": "opset 13 has no attribute 'min' of it",
    """c = Constant<value = bool {1}>() y = If(c) <then_branch = one () => (float[] a) { a = Cast(x) },
       else_branch = two () => (float[] b) { b = Neg(x) }>""": "expected an attribute 'to', found none",
}


@pytest.mark.parametrize(("body", "reason"), REFUSED.items())
def test_contradictions_are_refused(body: str, reason: str) -> None:
    proto = parser.parse_model(
        f'<ir_version: 8, opset_import: ["" : 13]> net (float[3,3] x) => (float[] y) <float[3,3] w = '
        f"{{1, 2, 3, 4, 5, 6, 7, 8, 9}}> {{ {body} }}"
    )
    with pytest.raises(ModelError, match=reason):
        model_from_proto(proto, "net.onnx", "")


def test_operators_of_other_domains_have_what_attributes_they_like() -> None:
    proto = parser.parse_model(
        '<ir_version: 8, opset_import: ["" : 13, "own" : 1]> '
        "net (float[3] x) => (float[] y) { y = own.Clip(x) }"
    )
    proto.graph.node[0].attribute.append(helper.make_attribute("min", "low"))
    assert model_from_proto(proto, "net.onnx", "").graph.nodes[0].attrs == {"min": "low"}
