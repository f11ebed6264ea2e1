"""Nodes that lack inputs or outputs are refused by name."""

from __future__ import annotations

import onnx
import pytest

from passes.errors import ModelError
from passes.ir.arity import check_arity
from passes.ir.onnx_io import model_from_text, to_proto

HEAD = '<ir_version: 8, opset_import: ["" : 17, "own" : 1]> net (float[N,2] x) => (float[N,2] y) '


@pytest.mark.parametrize(
    ("node", "message"),
    [
        ("[gemm] y = Gemm(x)", r"node gemm \(Gemm\): expected at least 2 inputs, found 1"),
        ("[bn] y = BatchNormalization(x, x)", r"node bn \(BatchNormalization\): expected at least 5 inputs"),
    ],
)
def test_a_node_without_its_inputs_is_refused(node: str, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        model_from_text(HEAD + "{ " + node + " }")


def test_optional_inputs_and_operators_of_others_are_not_counted() -> None:
    body = "{ h = Clip(x) k = own.Anything() y = Add(h, k) }"
    assert len(model_from_text(HEAD + body).graph.nodes) == 3


def test_a_name_that_is_no_text_is_no_operator() -> None:
    """Parsers of protobuf hand such names on as bytes; files with them are refused where they are read."""
    data = to_proto(model_from_text(HEAD + "{ y = Relu(x) }")).SerializeToString()
    check_arity(onnx.ModelProto.FromString(data.replace(b"Relu", b"Rel\x80")), "broken")
