"""Layers with points: the widened Q/DQ model in ONNX Runtime against the packed form, step by step."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
import pytest
from onnx import numpy_helper, parser

from hwmodels import Precision
from hwmodels.registry import load_target
from passes.api import PassContext
from passes.execution.dataset import Dataset
from passes.execution.session import Level, Session
from passes.execution.simulator import Simulator
from passes.ir.model import Model
from passes.ir.onnx_io import model_from_proto
from passes.ir.setup import quantizer_setup
from passes.lowering.encoding import Form
from passes.lowering.packed import Origin, emit_packed
from passes.lowering.qdq import emit_qdq
from passes.transform.multipoint import Multipoint
from qtool.agreement import layer_agreement
from qtool.runtime import Engine
from qtool.runtime.native_engine import NativeEngine

SAMPLES = 8
ORIGIN = Origin("test", "generic", "half_even")
NETWORK = """
<ir_version: 10, opset_import: ["" : 20]>
net (float[N,3,6,6] x) => (float[N,6] y) {
    [dense] a = Conv<pads = [1, 1, 1, 1]>(x, w1, b1)
    [relu] r = Relu(a)
    [depthwise] d = Conv<group = 8>(r, w2, b2)
    [grouped] e = Conv<group = 2>(d, w3)
    [pool] p = GlobalAveragePool(e)
    [flat] f = Flatten(p)
    [product] m = MatMul(f, w4)
    [tanh] t = Tanh(m)
    [last] y = Gemm<transB = 1>(t, w5, b5)
}
"""
SHAPES = {
    "w1": (8, 3, 3, 3), "w2": (8, 1, 3, 3), "w3": (6, 4, 2, 2), "w4": (6, 9), "w5": (6, 9),
    "b1": 8, "b2": 8, "b5": 6,
}  # fmt: skip
LAYERS = ("w1", "w2", "w3", "w4", "w5")
Assign = Callable[..., Dataset]


def widened(rng: np.random.Generator, assigned: Assign, bits: int) -> tuple[Model, Dataset]:
    proto = parser.parse_model(NETWORK)
    for name, shape in SHAPES.items():
        values = rng.standard_normal(shape) / np.sqrt(np.prod(np.shape(np.empty(shape))[1:], initial=1.0))
        proto.graph.initializer.append(numpy_helper.from_array(np.float32(values), name))
    model = model_from_proto(proto, "net", "0" * 64)
    data = assigned(model, rng.standard_normal((SAMPLES, 3, 6, 6)).astype(np.float32), Precision(bits, 8))
    ctx = PassContext(load_target("generic"), calibration=data, workers=1)
    Multipoint(growth=1.6, max_bits=6).run(model, ctx)
    assert all(
        sum(model.plan.tensors[name].points or ()) > len(model.plan.tensors[name].points or ())
        for name in LAYERS
    )
    return model, data


@pytest.mark.parametrize("form", [Form.QDQ, Form.QCDQ])
@pytest.mark.parametrize("bits", [2, 3, 4, 6])
def test_both_forms_compute_the_same_codes(
    bits: int, form: Form, assigned: Assign, rng: np.random.Generator
) -> None:
    model, data = widened(rng, assigned, bits)
    setup = quantizer_setup(model.graph)
    proto, artifact = emit_qdq(model, setup, form), emit_packed(model, setup, ORIGIN)
    onnx.checker.check_model(proto, full_check=True)
    layers = layer_agreement(proto, artifact, data, SAMPLES, threads=1)
    assert [(layer.name, layer.max_lsb) for layer in layers] == [(step.name, 0) for step in artifact.steps]
    feeds = next(data.batches(SAMPLES))
    (packed,) = Engine(artifact).run(feeds).values()
    (native,) = NativeEngine(artifact).run(feeds).values()
    np.testing.assert_array_equal(native, packed)
    for level in Level:
        (found,) = Session(proto, level, threads=1).run(feeds)
        np.testing.assert_allclose(found, packed, rtol=0, atol=1e-5 * np.abs(packed).max())


def test_the_simulator_runs_them(assigned: Assign, rng: np.random.Generator) -> None:
    model, data = widened(rng, assigned, 3)
    setup = quantizer_setup(model.graph)
    (found,) = Simulator(model, setup, data, threads=1).run(model.plan, Level.BASIC)
    (packed,) = Engine(emit_packed(model, setup, ORIGIN)).run(next(data.batches(SAMPLES))).values()
    np.testing.assert_allclose(found, packed, rtol=0, atol=1e-6 * np.abs(packed).max())


def test_the_wider_layers_hold_rows_of_few_bits(assigned: Assign, rng: np.random.Generator) -> None:
    model, _ = widened(rng, assigned, 4)
    proto = emit_qdq(model, quantizer_setup(model.graph), Form.QDQ)
    codes = {init.name: init for init in proto.graph.initializer}
    for name in LAYERS:
        axis = 1 if name == "w4" else 0
        stored = codes[f"{name}.q"]
        assert stored.data_type == onnx.TensorProto.INT4
        assert stored.dims[axis] == sum(model.plan.tensors[name].points or ())
    wide = next(node for node in proto.graph.node if node.name == "depthwise.rows")
    groups = next(attribute.i for attribute in wide.attribute if attribute.name == "group")
    assert groups == codes["w2.q"].dims[0]
