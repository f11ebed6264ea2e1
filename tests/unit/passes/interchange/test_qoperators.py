"""Operators on integers as float operators between quantizers."""

from __future__ import annotations

import numpy as np
import pytest

from passes.errors import ModelError
from passes.interchange.extract import extract
from passes.ir.onnx_io import to_proto
from passes.ir.setup import quantizer_setup
from passes.lowering.encoding import Form
from passes.lowering.qdq import emit_qdq

CONV = """
<ir_version: 10, opset_import: ["" : 21, "com.microsoft" : 1]>
integers (float[1,1,4,4] x) => (float[1,2,4,4] y) {
    xq = QuantizeLinear (x, xs, xz)
    r_quantized = QLinearConv (xq, xs, xz, w_quantized, ws, wz, rs, rz, b_quantized)
    m_quantized = MaxPool <kernel_shape = [1, 1]> (r_quantized)
    a_quantized = com.microsoft.QLinearAdd (m_quantized, rs, rz, r_quantized, rs, rz, rs, rz)
    y = DequantizeLinear (a_quantized, rs, rz)
}
"""


def test_the_float_operators_stand_where_the_integer_ones_stood(build, arrays):
    found = extract(build(CONV, arrays))
    assert [node.op_type for node in found.proto.graph.node] == ["Conv", "MaxPool", "Add"]
    assert {str(bits.precision) for bits in found.model.plan.layers.values()} == {"w8a8"}
    assert found.model.plan.tensors["w"].codes.reshape(-1).tolist() == [-128, 127]


def test_results_are_those_of_the_integer_kernels_up_to_a_step(build, arrays, outputs, rng):
    model = build(CONV, arrays)
    found = extract(model)
    again = emit_qdq(found.model, quantizer_setup(found.model.graph), Form.QDQ)
    x = {"x": rng.normal(2, 6, (1, 1, 4, 4)).astype(np.float32)}
    first, second = outputs(to_proto(model), x), outputs(again, x)
    assert first.std() > 1
    assert np.abs(first - second).max() <= 2.001 * float(arrays["rs"])


def test_scales_of_run_time_are_named(build):
    text = """
    <ir_version: 10, opset_import: ["" : 21]>
    dynamic (float[2,2] x, uint8[2,2] w) => (int32[2,2] y) {
        xq, xs, xz = DynamicQuantizeLinear (x)
        y = MatMulInteger (xq, w, xz)
    }
    """
    with pytest.raises(ModelError, match="DynamicQuantizeLinear finds its scale at run time"):
        extract(build(text, {}))


def test_an_operator_without_its_inputs_is_refused(build):
    text = """
    <ir_version: 10, opset_import: ["" : 21]>
    broken (uint8[1,1,4,4] x) => (uint8[1,1,4,4] y) { y = QLinearConv (x) }
    """
    with pytest.raises(ModelError):
        extract(build(text, {}))
