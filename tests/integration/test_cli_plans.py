"""What the options of ``qtool quantize`` do to the plan: budgets, pins, accuracy, forms."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import Result

from passes.execution.session import Level, Session
from passes.ir.onnx_io import read_model, to_proto

Quantize = Callable[..., Result]
MARGIN = 16_000
"""Bytes of a .qpk beside its weights."""


@pytest.fixture
def quantize(cli: Callable[..., Result], quickstart: Path, tmp_path: Path) -> Quantize:
    """Quantize the sample network into a folder of the test."""
    data = ["--calib", quickstart / "digits_calib.npz", "--samples", 64, "--quiet", "-o", tmp_path / "out"]
    data += ["--quality-plans", 0]
    return lambda *words: cli("quantize", quickstart / "digits.onnx", *data, *words)


@pytest.fixture
def document(tmp_path: Path) -> Callable[[str], Any]:
    """Read a JSON file of the results."""
    return lambda name: json.loads((tmp_path / "out" / name).read_text(encoding="utf-8"))


Document = Callable[[str], Any]


def test_all_budgets_are_met_at_once(quantize: Quantize, document: Document) -> None:
    result = quantize("--target", "bitfusion", "--max-latency", "0.6x", "--max-size", "0.5x")
    assert result.exit_code == 0, result.output
    report = document("report.json")
    assert {budget["metric"]: budget["met"] for budget in report["budgets"]} == {
        "latency_s": True,
        "weight_bytes": True,
    }
    assert report["cost"]["latency_s"] <= 0.6 * report["cost_8bit"]["latency_s"]
    assert report["cost"]["weight_bytes"] <= 0.5 * report["cost_8bit"]["weight_bytes"]


def test_two_budgets_of_which_one_cannot_be_met(quantize: Quantize, tmp_path: Path) -> None:
    result = quantize("--target", "bitfusion", "--max-latency", "0.9x", "--max-size", "10B")
    assert result.exit_code == 4
    assert "weight_bytes" in result.stderr
    assert not (tmp_path / "out").exists()


def test_more_budget_never_loses_more(quantize: Quantize, document: Document) -> None:
    losses = []
    for share in ("0.4x", "0.6x", "0.9x"):
        assert quantize("--target", "bitfusion", "--max-size", share, "--force").exit_code == 0
        losses.append(math.fsum(layer["loss"] for layer in document("report.json")["layers"]))
    assert losses == sorted(losses, reverse=True)
    assert losses[0] > losses[-1]


def test_pins_hold_and_the_last_one_counts(quantize: Quantize, document: Document) -> None:
    pins = ["--pin", "*=w2a8", "--pin", "op:Conv=w8a8", "--pin", "op:Gemm=w4a8"]
    result = quantize("--target", "bitfusion", "--max-latency", "1x", *pins)
    assert result.exit_code == 0, result.output
    layers = document("plan.json")["layers"]
    assert {(layer["op"], layer["weight_bits"], layer["act_bits"]) for layer in layers} == {
        ("Conv", 8, 8),
        ("Gemm", 4, 8),
    }


def test_bits_restrict_the_choice(quantize: Quantize, document: Document) -> None:
    assert quantize("--target", "bitfusion", "--max-size", "0.7x", "--bits", "4,8").exit_code == 0
    layers = document("plan.json")["layers"]
    assert {layer["weight_bits"] for layer in layers} == {4, 8}


@pytest.mark.parametrize(
    ("bits", "expected"), [("2", 2), ("2,4", 4), ("4,8,16", 8), ("16", 16), ("4,float", 4)]
)
def test_without_a_budget_all_layers_take_the_widest_of_the_bits(
    quantize: Quantize, document: Document, bits: str, expected: int
) -> None:
    assert quantize("--target", "generic", "--bits", bits, "--to", "qdq").exit_code == 0
    layers = document("plan.json")["layers"]
    assert {(layer["weight_bits"], layer["act_bits"]) for layer in layers} == {(expected, expected)}


def test_bits_that_leave_nothing_to_quantize_are_refused(quantize: Quantize) -> None:
    result = quantize("--target", "generic", "--bits", "float")
    assert result.exit_code == 2
    assert "--bits" in result.stderr


def test_both_solvers_meet_the_budget_and_the_exact_one_is_no_worse(
    quantize: Quantize, document: Document
) -> None:
    losses = {}
    for solver in ("ilp", "greedy"):
        result = quantize("--target", "bitfusion", "--max-latency", "0.5x", "--solver", solver, "--force")
        assert result.exit_code == 0, result.output
        report = document("report.json")
        assert report["solver"] == solver
        assert report["budgets"][0]["met"]
        losses[solver] = math.fsum(layer["loss"] for layer in report["layers"])
    assert losses["ilp"] <= losses["greedy"] * (1 + 1e-9)


def test_the_cheapest_plan_within_a_drop(quantize: Quantize, document: Document, quickstart: Path) -> None:
    words = ["--eval", quickstart / "digits_eval.npz", "--target", "bitfusion", "--minimize", "size"]
    assert quantize(*words, "--max-drop", "2%").exit_code == 0
    report = document("report.json")
    assert report["metric"]["float"] - report["metric"]["quantized"] <= 0.02
    assert report["cost"]["weight_bytes"] < 0.8 * report["cost_8bit"]["weight_bytes"]


def test_a_drop_that_cannot_be_kept_is_said_and_the_files_are_written(
    quantize: Quantize, document: Document, quickstart: Path
) -> None:
    words = ["--eval", quickstart / "digits_eval.npz", "--target", "bitfusion", "--bits", "2"]
    result = quantize(*words, "--max-drop", "0%")
    assert result.exit_code == 5
    assert "points" in result.stderr
    report = document("report.json")
    assert report["metric"]["quantized"] < report["metric"]["float"]


@pytest.mark.parametrize("bits", ["w8a8", "w4a8", "w3a5", "w2a8", "w4a4", "w1a8"])
def test_an_artifact_takes_the_bits_of_its_weights(quantize: Quantize, tmp_path: Path, bits: str) -> None:
    steps = f"canonicalize,fold-batchnorm,allocate{{uniform={bits}}},assign-scales"
    result = quantize("--target", "generic", "--pipeline", steps)
    assert result.exit_code == 0, result.output
    plan = json.loads((tmp_path / "out" / "plan.json").read_text(encoding="utf-8"))
    width = {layer["name"]: layer["weight_bits"] for layer in plan["layers"]}
    report = json.loads((tmp_path / "out" / "report.json").read_text(encoding="utf-8"))
    weights = sum(layer["weight_bytes"] for layer in report["layers"])
    assert set(width.values()) == {int(bits[1])}
    size = (tmp_path / "out" / "model.qpk").stat().st_size
    assert weights < size <= 1.05 * weights + MARGIN


@pytest.mark.parametrize("bits", ["w8a8", "w4a8", "w4a4", "w2a8", "w3a5", "w8a4"])
def test_both_spellings_load_at_the_default_level(
    quantize: Quantize, tmp_path: Path, quickstart: Path, bits: str
) -> None:
    result = quantize("--target", "generic", "--to", "qdq,qcdq", "--pin", f"*={bits}")
    assert result.exit_code == 0, result.output
    with np.load(quickstart / "digits_eval.npz") as data:
        images = data["image"][:64]
    feeds = {"image": images.astype(np.float32)}
    levels = [(name, level) for name in ("model.qdq.onnx", "model.qcdq.onnx") for level in Level]
    results = {}
    for name, level in levels:
        proto = to_proto(read_model(tmp_path / "out" / name))
        results[name, level] = Session(proto, level, threads=1).run(feeds)[0]
    exact = results["model.qdq.onnx", Level.BASIC]
    np.testing.assert_array_equal(results["model.qcdq.onnx", Level.BASIC], exact)
    for name, level in levels:
        assert np.mean(results[name, level].argmax(1) == exact.argmax(1)) >= 0.95, (name, level)
