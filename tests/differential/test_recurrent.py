"""Recurrent networks end to end: the packed form beside the Q/DQ model, whose state stays float."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from hwmodels import Precision, load_target
from passes.api import PassContext
from passes.artifact import Artifact
from passes.execution.dataset import Dataset
from passes.execution.session import Level, Session
from passes.ir.model import Model
from passes.ir.onnx_io import model_from_proto
from passes.ir.setup import quantizer_setup
from passes.lowering.encoding import Form
from passes.lowering.packed import Origin, emit_packed
from passes.lowering.qdq import emit_qdq
from passes.transform.canonicalize import Canonicalize
from qtool.agreement import layer_agreement
from qtool.quantization import run_quantize
from qtool.request import QuantizeRequest
from qtool.runtime import Engine, open_engine

TIME, SAMPLES, INPUTS, HIDDEN, CLASSES = 10, 4, 6, 8, 3
GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
Quantized = tuple[Model, onnx.ModelProto, Artifact, Dataset]


def build(op: str, attrs: dict[str, Any], *, last: bool) -> Model:
    """Samples by time, a recurrent layer, its last state or its mean over time, a Gemm."""
    rng, count = np.random.default_rng(5), 2 if attrs.get("direction") == "bidirectional" else 1
    rows, width = GATES[op] * HIDDEN, count * HIDDEN
    shapes = {
        "w": (count, rows, INPUTS), "r": (count, rows, HIDDEN), "b": (count, 2 * rows),
        "v": (CLASSES, width), "c": (CLASSES,),
    }  # fmt: skip
    constants = [
        numpy_helper.from_array((0.5 * rng.standard_normal(shape)).astype(np.float32), name)
        for name, shape in shapes.items()
    ]
    constants.append(numpy_helper.from_array(np.array([0, 0, -1] if not last else [0, -1]), "flat"))
    nodes = [
        helper.make_node("Transpose", ["x"], ["t"], name="by_time", perm=[1, 0, 2]),
        helper.make_node(op, ["t", "w", "r", "b"], ["y", "h"], name="cell", hidden_size=HIDDEN, **attrs),
        *(_last() if last else _mean()),
        helper.make_node("Gemm", ["m", "v", "c"], ["logits"], name="classes", transB=1),
    ]
    graph = helper.make_graph(
        nodes,
        "sequences",
        [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["N", TIME, INPUTS])],
        [helper.make_tensor_value_info("logits", onnx.TensorProto.FLOAT, ["N", CLASSES])],
        constants,
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8)
    return model_from_proto(proto, "sequences", "0")


def _last() -> list[onnx.NodeProto]:
    return [
        helper.make_node("Transpose", ["h"], ["s"], name="by_sample", perm=[1, 0, 2]),
        helper.make_node("Reshape", ["s", "flat"], ["m"], name="flatten"),
    ]


def _mean() -> list[onnx.NodeProto]:
    return [
        helper.make_node("Transpose", ["y"], ["s"], name="by_sample", perm=[2, 0, 1, 3]),
        helper.make_node("Reshape", ["s", "flat"], ["z"], name="flatten"),
        helper.make_node("ReduceMean", ["z"], ["m"], name="mean", axes=[1], keepdims=0),
    ]


@pytest.fixture
def quantized(assigned: Callable[[Model, np.ndarray, Precision], Dataset]) -> Callable[..., Quantized]:
    """A network with one precision everywhere, in both forms, and its data."""

    def make(op: str, attrs: dict[str, Any], pair: tuple[int, int], *, last: bool = False) -> Quantized:
        model = build(op, attrs, last=last)
        Canonicalize().run(model, PassContext(load_target("generic")))
        x = np.random.default_rng(6).standard_normal((SAMPLES, TIME, INPUTS)).astype(np.float32)
        data = assigned(model, x, Precision(*pair))
        setup = quantizer_setup(model.graph)
        packed = emit_packed(model, setup, Origin("test", "generic", "half_even"))
        return model, emit_qdq(model, setup, Form.QDQ), packed, data

    return make


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
@pytest.mark.parametrize(
    ("op", "attrs"), [("LSTM", {}), ("RNN", {}), ("GRU", {}), ("GRU", {"linear_before_reset": 1})]
)
def test_packed_and_qdq_differ_by_the_rounding_of_the_state(
    quantized: Callable[..., Quantized], op: str, attrs: dict[str, Any], direction: str, last: bool
) -> None:
    _, qdq, packed, data = quantized(op, {**attrs, "direction": direction}, (8, 8), last=last)
    layers = layer_agreement(qdq, packed, data, SAMPLES)
    assert {layer.name for layer in layers} == {step.name for step in packed.steps}
    apart = {layer.op: layer.max_lsb for layer in layers}
    assert 0 <= apart.pop(op.lower()) <= 3
    assert set(apart.values()) == {0}


def test_a_trained_network_has_a_packed_form(shared_data: Path, tmp_path: Path) -> None:
    """Two bidirectional GRUs and a mean over time: integers from the spectrogram to the classes."""
    request = QuantizeRequest(
        model=shared_data / "models" / "fsdd_bigru.onnx",
        out=tmp_path / "out",
        calib=str(shared_data / "audio" / "fsdd_calib.npz"),
        eval=str(shared_data / "audio" / "fsdd_eval.npz"),
        target="generic",
        pins=(("*", Precision(8, 8)),),
        samples=24,
    )
    report = run_quantize(request, lambda stage, done, total: None)
    assert report.agreement is not None
    assert report.metric is not None
    assert [layer.quantized for layer in report.layers] == [True] * 5
    assert report.agreement.top1_agreement == 1
    assert report.agreement.qdq_vs_packed_max_lsb == 1
    assert report.metric.packed == report.metric.float


@pytest.mark.parametrize("pair", [(4, 8), (2, 8), (8, 4), (1, 8), (16, 16), (3, 1)])
def test_every_width_runs_in_every_form(quantized: Callable[..., Quantized], pair: tuple[int, int]) -> None:
    _, qdq, packed, data = quantized("GRU", {"direction": "bidirectional"}, pair)
    (x,) = (feeds["x"] for feeds in data.batches(SAMPLES))
    (simulated,) = Session(qdq, Level.BASIC, 1).run({"x": x}, ["logits"])
    found = Engine(packed).run({"x": x})["logits"]
    steps = [step for step in packed.steps if step.op == "gru"]
    assert {weight.bits for step in steps for weight in step.weights} == {pair[0]}
    assert {step.integer("state_bits") for step in steps} == {max(pair[1], 2)}
    assert found.shape == simulated.shape
    if pair[1] >= 8:
        np.testing.assert_allclose(found, simulated, atol=0.06)


def test_both_engines_give_the_same_bits_for_any_batch(quantized: Callable[..., Quantized]) -> None:
    _, _, packed, data = quantized("LSTM", {"direction": "bidirectional"}, (4, 8))
    (x,) = (feeds["x"] for feeds in data.batches(SAMPLES))
    wanted = Engine(packed).run({"x": x})["logits"]
    engine, _ = open_engine(packed)
    np.testing.assert_array_equal(engine.run({"x": x})["logits"], wanted)
    np.testing.assert_array_equal(engine.run({"x": x[1:2]})["logits"], wanted[1:2])


def test_a_file_of_a_recurrent_program_is_read_back(
    quantized: Callable[..., Quantized], tmp_path: Any
) -> None:
    _, _, packed, data = quantized("GRU", {}, (3, 8))
    packed.save(tmp_path / "a.qpk")
    again = Artifact.load(tmp_path / "a.qpk")
    again.save(tmp_path / "b.qpk")
    assert (tmp_path / "a.qpk").read_bytes() == (tmp_path / "b.qpk").read_bytes()
    (x,) = (feeds["x"] for feeds in data.batches(SAMPLES))
    np.testing.assert_array_equal(
        Engine(again).run({"x": x})["logits"], Engine(packed).run({"x": x})["logits"]
    )
