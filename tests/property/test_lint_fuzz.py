"""Whatever a file says, lint answers with findings or refuses it in words."""

from __future__ import annotations

import os

import numpy as np
import onnx
import pytest
from google.protobuf.message import DecodeError
from onnx import TensorProto, helper, parser

from passes.errors import ModelError
from passes.ir.text_fields import check_text
from passes.lint.finding import Finding
from passes.lint.lint import lint
from passes.lint.runtime import Runtime

CASES = int(os.environ.get("QTOOL_FUZZ", "1500"))
TEXT = """
<ir_version: 13, opset_import: ["" : 25, "com.microsoft" : 1]>
net (float[2,16] x) => (float[2,4] y, float[2,4] v)
<float s = {0.5}, uint4 z = {1}, float t = {0.5}, int8 n = {0}, int8[16,4] w, float[16,4] f, int64[1] i = {0}>
{
    r = Relu(x)
    q = QuantizeLinear(r, s, z)
    d = DequantizeLinear(q, s, z)
    dw = DequantizeLinear<axis = 0, block_size = 8>(w, t, n)
    c = MatMul(d, dw)
    k = Clip(c, s, t)
    qk = QuantizeLinear(k, s, z)
    dk = DequantizeLinear(qk, s, z)
    g = Gather(dw, i)
    y = Gemm<transB = 0>(dk, dw)
    v = Gemm(dk, f)
    u = com.microsoft.MatMulNBits<K = 4, N = 4, bits = 3, block_size = 8, accuracy_level = 4>(v, w, s)
}
"""


@pytest.fixture(scope="module")
def data() -> bytes:
    return parser.parse_model(TEXT).SerializeToString()


def answers(model: onnx.ModelProto) -> list[Finding]:
    """The findings at both levels, of the oldest and the newest release."""
    return [
        it
        for version in ((1, 20), (1, 31))
        for basic in (False, True)
        for it in lint(model, Runtime(version, basic))
    ]


def test_the_model_that_is_broken_has_findings(data: bytes) -> None:
    assert len(answers(onnx.ModelProto.FromString(data))) > 5


def test_changed_bytes(data: bytes) -> None:
    rng, parsed = np.random.default_rng(0), 0
    for _ in range(CASES):
        broken = bytearray(data)
        for place in rng.integers(0, len(data), rng.integers(1, 8)):
            broken[place] = rng.integers(0, 256)
        try:
            model = onnx.ModelProto.FromString(bytes(broken))
            check_text(model, "broken")
        except (DecodeError, ModelError):
            continue
        parsed += 1
        assert isinstance(answers(model), list)
    assert parsed > CASES / 20


@pytest.mark.parametrize("index", range(12))
def test_missing_inputs_and_outputs(data: bytes, index: int) -> None:
    for field in ("input", "output", "attribute"):
        model = onnx.ModelProto.FromString(data)
        model.graph.node[index].ClearField(field)
        assert isinstance(answers(model), list)


@pytest.mark.parametrize(
    "scale",
    [
        helper.make_tensor("s", TensorProto.FLOAT, [], [float("nan")]),
        helper.make_tensor("s", TensorProto.FLOAT, [], [float("inf")]),
        helper.make_tensor("s", TensorProto.FLOAT, [0], []),
        helper.make_tensor("s", TensorProto.STRING, [], [b"0.5"]),
        onnx.TensorProto(name="s", data_type=1, dims=[1 << 40], raw_data=b"1234"),
        onnx.TensorProto(name="s", data_type=1, dims=[-4], raw_data=b"1234"),
        onnx.TensorProto(name="s", data_type=1, dims=[8], raw_data=b"1"),
        onnx.TensorProto(name="s", data_type=99, raw_data=b"1234"),
        onnx.TensorProto(name="s", data_type=1, data_location=onnx.TensorProto.EXTERNAL),
    ],
    ids=["nan", "inf", "empty", "text", "huge", "negative", "short", "no type", "external"],
)
def test_scales_that_are_none(data: bytes, scale: onnx.TensorProto) -> None:
    model = onnx.ModelProto.FromString(data)
    model.graph.initializer[0].CopyFrom(scale)
    assert isinstance(answers(model), list)
