"""Networks in bfloat16 are read in single precision, and nothing else changes its type."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from passes.execution.session import Session
from passes.ir.onnx_io import model_from_proto, to_proto

BRAIN = TensorProto.BFLOAT16
WEIGHTS = np.array([[1.0, -2.5], [0.375, 3.0], [-0.0078125, 96.0]], np.float32)
"""Numbers of few bits, which bfloat16 has."""


def network(nodes: list[onnx.NodeProto], kind: int, *constants: onnx.TensorProto) -> onnx.ModelProto:
    values = [helper.make_tensor_value_info(name, kind, ["N", size]) for name, size in (("x", 3), ("y", 2))]
    graph = helper.make_graph(nodes, "net", values[:1], values[1:], list(constants))
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def weights(name: str = "w") -> onnx.TensorProto:
    return helper.make_tensor(name, BRAIN, WEIGHTS.shape, WEIGHTS.ravel().tolist())


PRODUCT = helper.make_node("MatMul", ["x", "w"], ["y"], name="product")
INSIDE = [
    helper.make_node("Cast", ["x"], ["b"], to=BRAIN),
    helper.make_node("Constant", [], ["w"], value=weights()),
    helper.make_node("MatMul", ["b", "w"], ["p"], name="product"),
    helper.make_node("Cast", ["p"], ["y"], to=TensorProto.FLOAT),
]


@pytest.mark.parametrize(
    "proto", [network([PRODUCT], BRAIN, weights()), network(INSIDE, TensorProto.FLOAT)], ids=["all", "inside"]
)
def test_a_network_computes_in_single_precision(proto: onnx.ModelProto) -> None:
    x = np.random.default_rng(0).standard_normal((4, 3)).astype(np.float32)
    model = model_from_proto(proto, "net.onnx", "0" * 64)
    (found,) = Session(to_proto(model), threads=1).run({"x": x})
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, x @ WEIGHTS, rtol=1e-5, atol=1e-5)


def test_without_layers_nothing_is_changed() -> None:
    nodes = [helper.make_node("Cast", ["x"], ["y"], to=BRAIN)]
    proto = network(nodes, TensorProto.FLOAT)
    proto.graph.output[0].CopyFrom(helper.make_tensor_value_info("y", BRAIN, ["N", 3]))
    written = to_proto(model_from_proto(proto, "net.onnx", "0" * 64))
    assert written.graph.node[0].attribute[0].i == BRAIN
    assert written.graph.output[0].type.tensor_type.elem_type == BRAIN
