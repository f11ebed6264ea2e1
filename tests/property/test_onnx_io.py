"""A damaged model file is read, or refused in words: no other exception leaves the reader."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import parser

from passes.errors import ModelError
from passes.execution.dataset import graph_inputs
from passes.ir.onnx_io import read_model, to_proto
from passes.ir.setup import quantizer_setup
from passes.ir.verify import verify_model

TEXT = """
<ir_version: 8, opset_import: ["" : 17]>
net (float[N,2,4,4] x) => (float[N,3,8] y)
<float[3,2,1,1] w = {0.5, -1.0, 2.0, 0.25, 1.5, -0.75}, float[3] b = {0.1, 0.2, 0.3},
 int64[3] rows = {0, 3, 8}>
{
    [conv] c = Conv<pads = [0, 0, 0, 0]>(x, w, b)
    [relu] r = Relu(c)
    [pool] p = MaxPool<kernel_shape = [2, 1], strides = [2, 1]>(r)
    [sum] s = Add(p, p)
    [flat] y = Reshape(s, rows)
}
"""


@pytest.fixture(scope="module")
def whole() -> bytes:
    return parser.parse_model(TEXT).SerializeToString()


def read(path: Path, data: bytes) -> onnx.ModelProto:
    path.write_bytes(data)
    model = read_model(path)
    verify_model(model)
    graph_inputs(model.graph)
    quantizer_setup(model.graph)
    return to_proto(model)


def test_the_whole_file_is_read(whole: bytes, tmp_path: Path) -> None:
    assert len(read(tmp_path / "net.onnx", whole).graph.node) == 5


@settings(
    derandomize=True,
    max_examples=300,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(damage=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=3))
def test_damaged_bytes_are_refused_in_words(
    whole: bytes, tmp_path: Path, damage: list[tuple[float, int]]
) -> None:
    data = bytearray(whole)
    for place, value in damage:
        data[int(place * len(data))] = value
    with suppress(ModelError):
        assert read(tmp_path / "net.onnx", bytes(data)).graph.output
