"""QONNX: what is written computes the same by the published definition of Quant, and is read back."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import helper, numpy_helper
from onnx.reference import ReferenceEvaluator
from onnx.reference.op_run import OpRun

from passes.errors import LoweringError, ModelError
from passes.interchange.extract import extract
from passes.ir.onnx_io import model_from_proto
from passes.ir.setup import quantizer_setup
from passes.lowering.encoding import Form
from passes.lowering.qdq import emit_qdq


class Quant(OpRun):
    """The operator by its definition: clip(x / scale + zero), rounded half to even."""

    op_domain = "qonnx.custom_op.general"

    def _run(self, x, scale, zero, bits, signed=1, narrow=0, rounding_mode="ROUND"):
        top = 2.0 ** (float(bits) - bool(signed)) - 1 - (narrow and not signed)
        bottom = -(2.0 ** (float(bits) - 1)) + narrow if signed else 0.0
        steps = np.round(np.clip((x / scale + zero).astype(np.float32), bottom, top)) - zero
        return ((steps * scale).astype(np.float32),)


def emitted(found, form=Form.QONNX):
    return emit_qdq(found.model, quantizer_setup(found.model.graph), form)


def test_quant_nodes_compute_what_pairs_do(build, conv, arrays, outputs, rng):
    found = extract(build(conv, arrays))
    x = {"x": rng.normal(2, 6, (1, 1, 4, 4)).astype(np.float32)}
    result = ReferenceEvaluator(emitted(found), new_ops=[Quant]).run(None, x)[0]
    assert np.array_equal(result, outputs(emitted(found, Form.QDQ), x))


def test_what_was_written_is_read(build, conv, arrays):
    found = extract(build(conv, arrays))
    again = extract(model_from_proto(emitted(found), "again", ""))
    assert again.kept == {}
    assert again.model.plan.tensors == found.model.plan.tensors
    assert [str(it.precision) for it in again.model.plan.layers.values()] == ["w8a8"]


def node_model(op="Quant", bits=4.0, scale=0.5, **attrs):
    node = helper.make_node(op, ["x", "s", "z", "b"], ["y"], "quant", domain=Quant.op_domain, **attrs)
    values = [helper.make_tensor_value_info(name, 1, [4]) for name in "xy"]
    constants = [
        numpy_helper.from_array(np.array(value, np.float32), name)
        for name, value in (("s", scale), ("z", 0.0), ("b", bits))
    ]
    graph = helper.make_graph([node], "quant", values[:1], values[1:], constants)
    opsets = [helper.make_opsetid("", 11), helper.make_opsetid(Quant.op_domain, 1)]
    return model_from_proto(helper.make_model(graph, opset_imports=opsets, ir_version=8), "quant.onnx", "")


@pytest.mark.parametrize(("attrs", "ends"), [({"signed": 1, "narrow": 1}, (-7, 7)), ({"signed": 0}, (0, 15))])
def test_signs_and_narrow_ranges_are_kept(attrs, ends):
    plan = extract(node_model(**attrs)).model.plan
    fmt = next(iter(plan.tensors.values())).spec.format
    assert (fmt.qmin, fmt.qmax) == ends


@pytest.mark.parametrize("op", ["BipolarQuant", "Trunc", "FloatQuant"])
def test_other_quantizers_are_refused_by_name(op):
    with pytest.raises(ModelError, match=op):
        extract(node_model(op))


def test_another_rounding_is_refused():
    with pytest.raises(ModelError, match="rounding_mode 'FLOOR'"):
        extract(node_model(rounding_mode="FLOOR"))


@pytest.mark.parametrize(
    ("bits", "scale"), [(9.0, 0.5), (4.5, 0.5), (np.nan, 0.5), (4.0, 0.0), (4.0, np.inf)]
)
def test_numbers_that_a_plan_cannot_hold_are_refused(bits, scale):
    with pytest.raises(ModelError, match="nothing in this model"):
        extract(node_model(bits=bits, scale=scale))


def test_one_signed_bit_is_not_written(build, conv, arrays):
    found = extract(build(conv, arrays))
    plan = found.model.plan
    weight = plan.tensors["w"]
    spec = type(weight.spec)(type(weight.spec.format)(1), weight.spec.granularity)
    plan.tensors["w"] = type(weight)(weight.role, spec, weight.params)
    with pytest.raises(LoweringError, match="one bit"):
        emitted(found)
