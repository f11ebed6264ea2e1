"""Nodes that lack inputs or outputs are refused by name."""

from __future__ import annotations

import pytest

from passes.errors import ModelError
from passes.ir.onnx_io import model_from_text

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
