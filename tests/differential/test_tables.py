"""Weights decoded by a table: the Q/DQ model in ONNX Runtime against the packed form, step by step."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper, parser

from hwmodels import Precision
from hwmodels.registry import load_target
from passes.api import PassContext
from passes.execution.dataset import Dataset
from passes.execution.session import Level, Session
from passes.execution.simulator import Simulator
from passes.ir.model import Model
from passes.ir.onnx_io import model_from_proto
from passes.ir.plan_file import read_plan, write_plan
from passes.ir.setup import quantizer_setup
from passes.lowering.encoding import Form
from passes.lowering.packed import Origin, emit_packed
from passes.lowering.qdq import emit_qdq
from passes.transform.fit_levels import FitLevels
from passes.transform.gptq import Gptq
from qtool.agreement import layer_agreement
from qtool.runtime import Engine
from qtool.runtime.native import instruction_sets
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
    [transposed] u = ConvTranspose<group = 2>(e, w6)
    [pool] p = GlobalAveragePool(u)
    [flat] f = Flatten(p)
    [product] m = MatMul(f, w4)
    [tanh] t = Tanh(m)
    [last] y = Gemm<transB = 1>(t, w5, b5)
}
"""
SHAPES = {
    "w1": (8, 3, 3, 3), "w2": (8, 1, 3, 3), "w3": (6, 4, 2, 2), "w4": (6, 9), "w5": (6, 9),
    "w6": (6, 3, 2, 2),
    "b1": 8, "b2": 8, "b5": 6,
}  # fmt: skip
LAYERS = ("w1", "w2", "w3", "w4", "w5", "w6")
Assign = Callable[..., Dataset]


def tabled(
    rng: np.random.Generator, assigned: Assign, bits: int, *, rounded: bool = False
) -> tuple[Model, Dataset]:
    proto = parser.parse_model(NETWORK)
    for name, shape in SHAPES.items():
        values = rng.standard_normal(shape) / np.sqrt(np.prod(np.shape(np.empty(shape))[1:], initial=1.0))
        proto.graph.initializer.append(numpy_helper.from_array(np.float32(values), name))
    model = model_from_proto(proto, "net", "0" * 64)
    data = assigned(model, rng.standard_normal((SAMPLES, 3, 6, 6)).astype(np.float32), Precision(bits, 8))
    ctx = PassContext(load_target("generic"), calibration=data, workers=1)
    FitLevels().run(model, ctx)
    if rounded:
        Gptq().run(model, ctx)
    assert all(len(model.plan.tensors[name].levels or ()) == 2**bits for name in LAYERS)
    assert all((model.plan.tensors[name].codes is not None) == rounded for name in LAYERS)
    return model, data


@pytest.mark.parametrize(
    ("bits", "form", "rounded"),
    [(2, Form.QDQ, False), (3, Form.QCDQ, True), (4, Form.QDQ, True)],
)
def test_both_forms_compute_the_same_codes(
    bits: int, form: Form, rounded: bool, assigned: Assign, rng: np.random.Generator
) -> None:
    model, data = tabled(rng, assigned, bits, rounded=rounded)
    setup = quantizer_setup(model.graph)
    proto, artifact = emit_qdq(model, setup, form), emit_packed(model, setup, ORIGIN)
    assert {weight.bits for step in artifact.steps for weight in step.weights} == {bits}
    onnx.checker.check_model(proto, full_check=True)
    layers = layer_agreement(proto, artifact, data, SAMPLES, threads=1)
    assert [(layer.name, layer.max_lsb) for layer in layers] == [(step.name, 0) for step in artifact.steps]
    feeds = next(data.batches(SAMPLES))
    (packed,) = Engine(artifact).run(feeds).values()
    for isa in instruction_sets():
        engine = NativeEngine(artifact, 1, isa)
        assert not engine.reference_steps
        (native,) = engine.run(feeds).values()
        np.testing.assert_array_equal(native, packed)
    for level in Level:
        (found,) = Session(proto, level, threads=1).run(feeds)
        np.testing.assert_allclose(found, packed, rtol=0, atol=1e-5 * np.abs(packed).max())


def test_the_simulator_and_a_plan_read_again_compute_them(
    assigned: Assign, rng: np.random.Generator, tmp_path: Path
) -> None:
    model, data = tabled(rng, assigned, 3, rounded=True)
    setup = quantizer_setup(model.graph)
    (found,) = Simulator(model, setup, data, threads=1).run(model.plan, Level.BASIC)
    (packed,) = Engine(emit_packed(model, setup, ORIGIN)).run(next(data.batches(SAMPLES))).values()
    np.testing.assert_allclose(found, packed, rtol=0, atol=1e-6 * np.abs(packed).max())
    write_plan(model.plan, tmp_path / "plan.json", model.sha256, "generic")
    emit_packed(model, setup, ORIGIN).save(tmp_path / "first.qpk")
    model.plan = read_plan(tmp_path / "plan.json", model.sha256)
    emit_packed(model, setup, ORIGIN).save(tmp_path / "again.qpk")
    assert (tmp_path / "first.qpk").read_bytes() == (tmp_path / "again.qpk").read_bytes()


@pytest.mark.parametrize("op", ["LSTM", "GRU"])
def test_recurrent_layers_have_a_table_for_each_weight(
    op: str, assigned: Assign, rng: np.random.Generator
) -> None:
    rows = {"LSTM": 4, "GRU": 3}[op] * 5
    tensors = {"w": (1, rows, 4), "r": (1, rows, 5)}
    constants = [
        numpy_helper.from_array(rng.standard_normal(shape).astype(np.float32) / 2, name)
        for name, shape in tensors.items()
    ]
    attributes = {"linear_before_reset": 1} if op == "GRU" else {}
    node = helper.make_node(op, ["x", "w", "r"], ["y"], name="cell", hidden_size=5, **attributes)
    graph = helper.make_graph(
        [node],
        "net",
        [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [6, 1, 4])],
        [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, None)],
        constants,
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8)
    model = model_from_proto(proto, "net", "0" * 64)
    x = rng.standard_normal((6, 1, 4)).astype(np.float32)
    assigned(model, x, Precision(3, 8))
    FitLevels().run(model, PassContext(load_target("generic")))
    artifact = emit_packed(model, quantizer_setup(model.graph), ORIGIN)
    assert [weight.bits for step in artifact.steps for weight in step.weights] == [3, 3]
    (found,) = Engine(artifact).run({"x": x}).values()
    (native,) = NativeEngine(artifact).run({"x": x}).values()
    np.testing.assert_array_equal(native, found)
    (wanted,) = Session(emit_qdq(model, quantizer_setup(model.graph), Form.QDQ), threads=1).run({"x": x})
    assert np.abs(found - wanted).max() < 0.05 * np.abs(wanted).max()
