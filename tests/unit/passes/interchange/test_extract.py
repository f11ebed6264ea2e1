"""Quantized models taken apart: the plan says what the file said, and lowers to the same numbers."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import TensorProto, helper

from passes.artifact import Artifact
from passes.errors import ModelError
from passes.interchange.extract import extract
from passes.ir.onnx_io import to_proto
from passes.ir.plan import QuantPlan
from passes.ir.setup import quantizer_setup
from passes.lowering.encoding import Form
from passes.lowering.packed import Origin, emit_packed
from passes.lowering.qdq import emit_qdq

X = {"x": np.random.default_rng(1).normal(2, 6, (1, 1, 4, 4)).astype(np.float32)}


def lowered(found, form=Form.QDQ):
    return emit_qdq(found.model, quantizer_setup(found.model.graph), form)


def packed(found) -> Artifact:
    return emit_packed(
        found.model, quantizer_setup(found.model.graph), Origin("test", "generic", "half_even")
    )


def test_numbers_of_the_file_are_numbers_of_the_plan(build, arrays, conv):
    plan: QuantPlan = extract(build(conv, arrays)).model.plan
    assert {name: str(bits.precision) for name, bits in plan.layers.items()} == {"Conv_4": "w8a8"}
    assert float(plan.tensors["x"].params.scale) == float(np.float32(0.1))
    assert int(plan.tensors["x"].params.zero_point) == 13
    assert plan.tensors["w"].codes.reshape(-1).tolist() == [-128, 127]
    assert plan.tensors["w"].params.scale.tolist() == np.array([0.3, 0.7], np.float32).tolist()


@pytest.mark.parametrize("form", [Form.QDQ, Form.QCDQ])
def test_lowered_again_it_computes_the_same(build, arrays, outputs, form, conv):
    model = build(conv, arrays)
    found = extract(model)
    assert found.kept == {}
    assert np.array_equal(outputs(lowered(found, form), X), outputs(to_proto(model), X))


def test_the_float_model_has_no_quantizer_left(build, arrays, conv):
    found = extract(build(conv, arrays))
    assert [node.op_type for node in found.proto.graph.node] == ["Conv", "Relu"]
    assert {init.name for init in found.proto.graph.initializer} == {"w", "b"}


def test_unsigned_weights_around_the_middle_are_signed(build, arrays, conv):
    arrays |= {"w_quantized": np.array([0, 255], np.uint8).reshape(2, 1, 1, 1)}
    arrays |= {"wz": np.full(2, 128, np.uint8)}
    weight = extract(build(conv, arrays)).model.plan.tensors["w"]
    assert str(weight.spec.format) == "int8"
    assert weight.codes.reshape(-1).tolist() == [-128, 127]


def test_codes_of_few_bits_in_a_wide_container_are_narrow(build, arrays, conv):
    arrays["w_quantized"] = np.array([-4, 3], np.int8).reshape(2, 1, 1, 1)
    assert str(extract(build(conv, arrays)).model.plan.layers["Conv_4"].precision) == "w3a8"


@pytest.fixture
def clipped(conv):
    return conv.replace("y = DequantizeLinear (rq,", "rc = Clip (rq, low, high)\n y = DequantizeLinear (rc,")


def test_a_clip_of_codes_is_a_narrow_format(build, arrays, outputs, clipped):
    arrays |= {"low": np.array(0, np.uint8), "high": np.array(15, np.uint8)}
    model = build(clipped, arrays)
    found = extract(model)
    assert str(found.model.plan.tensors["y"].spec.format) == "uint4"
    assert np.array_equal(outputs(lowered(found), X), outputs(to_proto(model), X))


def test_any_other_clip_of_codes_becomes_one_of_values(build, arrays, outputs, clipped):
    arrays |= {"low": np.array(0, np.uint8), "high": np.array(100, np.uint8)}
    model = build(clipped, arrays)
    found = extract(model)
    assert "Clip" in [node.op_type for node in found.proto.graph.node]
    assert np.array_equal(outputs(lowered(found), X), outputs(to_proto(model), X))


@pytest.fixture
def pooled(conv):
    return conv.replace(
        "y = DequantizeLinear (rq, rs, rz)",
        "rd = DequantizeLinear (rq, rs, rz)\n p = MaxPool <kernel_shape = [1, 1]> (rd)\n"
        "pq = QuantizeLinear (p, ps, pz)\n pd = DequantizeLinear (pq, ps, pz)\n"
        "vd = DequantizeLinear (v_quantized, rs)\n y = Conv (pd, vd)",
    ).replace("=> (float[1,2", "=> (float[1,1")


def test_a_mover_between_two_scales_gets_a_second_rounding(build, arrays, outputs, pooled):
    arrays |= {"ps": np.array(np.float32(0.51)), "pz": np.array(3, np.uint8)}
    arrays["v_quantized"] = np.array([100, -90], np.int8).reshape(1, 2, 1, 1)
    model = build(pooled, arrays)
    found = extract(model)
    assert [step.op for step in packed(found).steps][:3] == ["conv", "max_pool", "requantize"]
    assert np.array_equal(outputs(lowered(found), X), outputs(to_proto(model), X))


def test_weights_may_be_quantized_from_floats_and_transposed(build, outputs):
    text = """
    <ir_version: 10, opset_import: ["" : 21]>
    quantized (float[2,3] x) => (float[2,2] y) {
        xq = QuantizeLinear (x, xs, xz)
        xd = DequantizeLinear (xq, xs, xz)
        wq = QuantizeLinear <axis = 0> (w, ws, wz)
        wd = DequantizeLinear <axis = 0> (wq, ws, wz)
        wt = Transpose <perm = [1, 0]> (wd)
        y = MatMul (xd, wt)
    }
    """
    constants = {"xs": np.array(0.1, np.float32), "xz": np.array(0, np.int8), "wz": np.zeros(2, np.int8)}
    constants |= {
        "w": np.array([[1, -2, 3], [4, 5, -6]], np.float32),
        "ws": np.array([0.5, 0.25], np.float32),
    }
    model = build(text, constants)
    found = extract(model)
    weight = next(it for it in found.model.plan.tensors.values() if it.role == "weight")
    assert weight.codes.tolist() == [[2, 16], [-4, 20], [6, -24]]
    assert weight.spec.granularity.axis == 1
    x = {"x": np.arange(6, dtype=np.float32).reshape(2, 3)}
    assert np.array_equal(outputs(lowered(found), x), outputs(to_proto(model), x))


def test_a_layer_that_reads_codes_but_has_float_weights_still_does(build, arrays, outputs, conv):
    text = conv.replace("wd = DequantizeLinear <axis = 0> (w_quantized, ws, wz)", "")
    model = build(text, arrays | {"wd": np.array([0.123, -4.5], np.float32).reshape(2, 1, 1, 1)})
    found = extract(model)
    assert str(next(iter(found.model.plan.layers.values())).precision) == "w32a32"
    assert np.array_equal(outputs(lowered(found), X), outputs(to_proto(model), X))


@pytest.fixture
def codes_in(conv):
    return conv.replace("float[1,1,4,4] x", "uint8[1,1,4,4] xq").replace(
        "xq = QuantizeLinear (x, xs, xz)", ""
    )


def test_an_input_of_integers_stays_one(build, arrays, outputs, codes_in):
    model = build(codes_in, arrays)
    codes = {"xq": np.arange(16, dtype=np.uint8).reshape(1, 1, 4, 4)}
    assert np.array_equal(outputs(lowered(extract(model)), codes), outputs(to_proto(model), codes))


def test_an_input_of_integers_becomes_floats_where_asked(build, arrays, outputs, codes_in):
    model = build(codes_in, arrays)
    found = extract(model, float_io=True)
    codes = np.arange(16, dtype=np.uint8).reshape(1, 1, 4, 4)
    values = (codes.astype(np.float32) - 13) * np.float32(0.1)
    assert np.array_equal(outputs(lowered(found), {"xq": values}), outputs(to_proto(model), {"xq": codes}))
    assert packed(found).inputs == ("xq",)


def test_one_tensor_in_two_ways_is_refused(build, arrays, conv):
    second = "xe = QuantizeLinear (x, rs, rz)\n xf = DequantizeLinear (xe, rs, rz)\n c = Conv (xf, wd, bd)"
    text = conv.replace("c = Conv (xd, wd, bd)", f"{second}\n e = Relu (xd)").replace(
        "y) {", "y, float[1,1,4,4] e) {"
    )
    with pytest.raises(ModelError, match="tensor 'x' is quantized in two ways"):
        extract(build(text, arrays))


def test_float_weights_behind_a_quantizer_of_four_bits(build, conv, arrays, outputs):
    text = conv.replace("wd =", "w_quantized = QuantizeLinear <axis = 0> (weight, ws, wz)\n wd =")
    del arrays["w_quantized"]
    int4 = helper.tensor_dtype_to_np_dtype(TensorProto.INT4)
    arrays |= {"wz": np.zeros(2, int4), "weight": np.array([-9.0, 1.75], np.float32).reshape(2, 1, 1, 1)}
    model = build(text, arrays)
    found = extract(model)
    weight = next(it for it in found.model.plan.tensors.values() if it.role == "weight")
    assert (str(weight.spec.format), weight.codes.reshape(-1).tolist()) == ("int4", [-8, 2])
    assert np.array_equal(outputs(lowered(found), X), outputs(to_proto(model), X))


def test_nothing_quantized_is_refused(build):
    text = '<ir_version: 8, opset_import: ["" : 13]> plain (float[2] x) => (float[2] y) { y = Relu (x) }'
    with pytest.raises(ModelError, match="nothing in this model is quantized"):
        extract(build(text, {}))


def test_a_scale_of_run_time_stays_in_the_graph(build, arrays, conv):
    text = conv.replace("float[1,1,4,4] x", "float[1,1,4,4] x, float xs")
    del arrays["xs"]
    found = extract(build(text, arrays))
    assert "its scale is computed at run time" in found.kept.values()
    assert "QuantizeLinear" in [node.op_type for node in found.proto.graph.node]


@pytest.mark.parametrize("value", [0.0, -1.0, np.nan, np.inf])
def test_a_scale_that_is_none_is_not_taken(build, arrays, value, conv):
    arrays["rs"] = np.array(value, np.float32)
    assert "a scale is not positive and finite" in extract(build(conv, arrays)).kept.values()
