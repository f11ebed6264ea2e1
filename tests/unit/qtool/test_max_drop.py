"""The search for the cheapest plan within a drop, on a network whose accuracy is known."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from hwmodels import FLOAT, Metric, load_target
from passes.api import PassContext
from passes.errors import AccuracyError, UsageError
from passes.execution.dataset import graph_inputs, open_dataset
from passes.execution.simulator import Simulator
from passes.ir.model import Model
from passes.ir.onnx_io import read_model
from passes.ir.setup import BY_PLAN, quantizer_setup
from passes.transform.gptq import Gptq
from qtool.drop_trials import Trial, Trials
from qtool.max_drop import EXACT_TRIALS, cheapest_within_drop
from qtool.presets import preset
from qtool.quantization import run_quantize
from qtool.request import QuantizeRequest

SAMPLES = 64


@pytest.fixture
def request_(tmp_path: Path) -> QuantizeRequest:
    """Two random layers; the labels are what they say in floating point."""
    rng = np.random.default_rng(0)
    shapes = {"w1": (8, 8), "w2": (8, 4)}
    weights = {name: rng.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}
    nodes = [
        helper.make_node("MatMul", ["x", "w1"], ["h"], name="first"),
        helper.make_node("Relu", ["h"], ["r"], name="relu"),
        helper.make_node("MatMul", ["r", "w2"], ["y"], name="second"),
    ]
    values = [helper.make_tensor_value_info(name, 1, ["N", size]) for name, size in (("x", 8), ("y", 4))]
    constants = [numpy_helper.from_array(array, name) for name, array in weights.items()]
    graph = helper.make_graph(nodes, "net", values[:1], values[1:], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, tmp_path / "net.onnx")
    x = rng.standard_normal((SAMPLES, 8)).astype(np.float32)
    labels = (np.maximum(x @ weights["w1"], 0) @ weights["w2"]).argmax(1)
    np.savez(tmp_path / "data.npz", x=x, labels=labels)
    data = str(tmp_path / "data.npz")
    return QuantizeRequest(
        model=tmp_path / "net.onnx",
        out=tmp_path / "out",
        target="bitfusion",
        calib=data,
        eval=data,
        max_drop=0.1,
        minimize=Metric.WEIGHT_BYTES,
        workers=1,
    )


def searched(request: QuantizeRequest, **changes: Any) -> tuple[Model, float, int]:
    """The model with its plan, its accuracy, and the bits of its weights together."""
    request = replace(request, **changes)
    model = read_model(request.model)
    data = open_dataset(request.calib or "", graph_inputs(model.graph))
    ctx = PassContext(load_target(request.target), calibration=data, evaluation=data, workers=1)
    records = cheapest_within_drop(request, preset(request), model, ctx)
    assert "bias-correction" in [record.name for record in records]
    (scores,) = Simulator(model, quantizer_setup(model.graph), data, 1).run(model.plan)
    bits = sum(layer.precision.weight_bits for layer in model.plan.layers.values())
    return model, float(np.mean(scores.argmax(1) == data.labels)), bits


def test_the_plan_that_is_kept_was_measured_to_be_within_the_drop(request_: QuantizeRequest) -> None:
    found = {drop: searched(request_, max_drop=drop) for drop in (0.02, 0.1, 0.5)}
    for drop, (_, accuracy, _) in found.items():
        assert accuracy >= 1 - drop
    sums = [bits for _, _, bits in found.values()]
    assert sums == sorted(sums, reverse=True)
    assert sums[0] > sums[-1]


def test_any_drop_takes_the_narrowest_plan(request_: QuantizeRequest) -> None:
    assert searched(request_, max_drop=1.0)[2] == 2 * 2


def test_an_impossible_drop_keeps_the_plan_of_least_loss(request_: QuantizeRequest) -> None:
    model, accuracy, _ = searched(request_, max_drop=0.0, bits=(2, 4))
    assert accuracy < 1
    assert {layer.precision.weight_bits for layer in model.plan.layers.values()} == {4}


def with_margins(request_: QuantizeRequest, margin: float) -> QuantizeRequest:
    """Make pairs of classes whose scores differ by about a margin."""
    model = onnx.load(request_.model)
    rng = np.random.default_rng(3)
    slots = {init.name: init for init in model.graph.initializer}
    w2 = np.repeat(rng.standard_normal((8, 2)), 2, axis=1)
    w2[:, 1::2] += rng.standard_normal((8, 2)) * margin
    slots["w2"].CopyFrom(numpy_helper.from_array(w2.astype(np.float32), "w2"))
    onnx.save(model, request_.model)
    with np.load(request_.calib or "") as data:
        x = data["x"]
    labels = (np.maximum(x @ numpy_helper.to_array(slots["w1"]), 0) @ w2).argmax(1)
    np.savez(request_.calib or "", x=x, labels=labels)
    return request_


def widths(model: Model) -> set[int]:
    pairs = [layer.precision for layer in model.plan.layers.values()]
    return {bits for pair in pairs for bits in (pair.weight_bits, pair.act_bits)}


def test_sixteen_bits_are_used_before_the_drop_is_missed(request_: QuantizeRequest) -> None:
    model, accuracy, _ = searched(with_margins(request_, 1e-2), max_drop=0.05)
    assert 16 in widths(model)
    assert accuracy >= 0.95


def test_a_drop_that_nothing_meets_is_not_bought_with_sixteen_bits(request_: QuantizeRequest) -> None:
    model, accuracy, _ = searched(with_margins(request_, 1e-6), max_drop=0.0)
    assert widths(model) == {8}
    assert accuracy < 0.95


def test_widths_that_were_asked_for_are_all_there_is(request_: QuantizeRequest) -> None:
    model, accuracy, _ = searched(with_margins(request_, 2e-3), max_drop=0.05, bits=(2, 4, 8))
    assert 16 not in widths(model)
    assert accuracy < 0.95


def with_an_outlier(request_: QuantizeRequest) -> QuantizeRequest:
    """Hide the answer in inputs a millionth of the others, which the first layer makes large."""
    model = onnx.load(request_.model)
    slots = {init.name: init for init in model.graph.initializer}
    w1 = numpy_helper.to_array(slots["w1"]).copy()
    w1[0] *= 1e6
    w1[1] = 0
    slots["w1"].CopyFrom(numpy_helper.from_array(w1, "w1"))
    onnx.save(model, request_.model)
    with np.load(request_.calib or "") as data:
        x = data["x"].copy()
    x[:, 0] *= 1e-6
    x[:, 1] *= 1e3
    labels = (np.maximum(x @ w1, 0) @ numpy_helper.to_array(slots["w2"])).argmax(1)
    np.savez(request_.calib or "", x=x, labels=labels)
    return request_


def test_a_layer_that_no_integers_hold_stays_float_where_the_target_runs_floats(
    request_: QuantizeRequest,
) -> None:
    model, accuracy, _ = searched(with_an_outlier(request_), target="generic", max_drop=0.05)
    assert accuracy >= 0.95
    assert model.plan.layers["first"].precision == FLOAT
    assert model.plan.layers["second"].precision.weight_bits <= 8


def test_a_target_of_integers_misses_the_drop_there_and_names_the_layer(request_: QuantizeRequest) -> None:
    request = replace(with_an_outlier(request_), max_drop=0.05)
    with pytest.raises(AccuracyError, match=r"of the Q/DQ model fell by .* most of it expected of first"):
        run_quantize(request, lambda stage, done, total: None)
    report = json.loads((request.out / "report.json").read_text())
    assert report["metric"]["quantized"] < 0.9


def test_floats_are_named_in_the_report(request_: QuantizeRequest) -> None:
    request = replace(with_an_outlier(request_), target="generic", max_drop=0.05)
    report = run_quantize(request, lambda stage, done, total: None)
    remarks = [line.message for line in report.journal if line.source == "max-drop"]
    assert any("layers may stay float" in message for message in remarks)
    assert "kept in floating point: first" in remarks
    first = report.layers[0]
    assert (first.name, first.quantized, first.weight_bits, first.reason) == ("first", False, None, BY_PLAN)
    assert 0 < report.coverage.macs < 1
    assert report.metric is not None
    assert report.metric.packed is None


def test_few_plans_are_rounded_by_data(request_: QuantizeRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    rounded = []
    run = Gptq.run
    monkeypatch.setattr(Gptq, "run", lambda self, model, ctx: rounded.append(0) or run(self, model, ctx))
    searched(request_, max_drop=0.1)
    assert 1 <= len(rounded) <= EXACT_TRIALS + 2


def test_an_artifact_that_falls_short_is_not_delivered(
    request_: QuantizeRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    wide = searched(request_, max_drop=0.0)[2]
    monkeypatch.setattr(Trials, "packed_within", lambda self, trial: all_wide(trial))
    assert searched(request_, max_drop=0.5)[2] >= wide


def all_wide(trial: Trial) -> bool:
    return all(pair.weight_bits == 8 for _, pair in trial.bits)


def test_a_pipeline_without_allocation_has_nothing_to_search(request_: QuantizeRequest) -> None:
    passes = tuple(step for step in preset(request_) if step.name != "allocate")
    model = read_model(request_.model)
    with pytest.raises(UsageError, match="needs a pipeline with an allocate pass"):
        cheapest_within_drop(request_, passes, model, PassContext(load_target("bitfusion")))
