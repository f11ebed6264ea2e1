"""Claims of a file about shapes that its nodes contradict."""

from __future__ import annotations

import onnx
import pytest
from onnx import helper, parser

from passes.ir.onnx_io import model_from_proto

TEXT = """<ir_version: 8, opset_import: ["" : 13, "own" : 1]>
net (float[2,3] x, float[3,4] w) => (float[] y) {
    m = MatMul(x, w)
    o = own.Foo(m)
    y = Relu(o)
}"""


@pytest.mark.parametrize(
    ("name", "kind", "claimed", "found"),
    [
        ("m", onnx.TensorProto.FLOAT, [7, 7], [2, 4]),
        ("m", onnx.TensorProto.FLOAT, [2], [2, 4]),
        ("m", onnx.TensorProto.INT64, [2, 4], [2, 4]),
        ("m", onnx.TensorProto.FLOAT, ["N", 4], [2, 4]),
        ("o", onnx.TensorProto.FLOAT, [5, 6], [5, 6]),
    ],
)
def test_only_what_inference_contradicts_is_left_out(
    name: str, kind: int, claimed: list[int | str], found: list[int]
) -> None:
    proto = parser.parse_model(TEXT)
    proto.graph.value_info.append(helper.make_tensor_value_info(name, kind, claimed))
    tensor = model_from_proto(proto, "net.onnx", "0").graph.tensors()[name]
    assert tensor.shape == found
    assert tensor.dtype == "float32"
