"""The main job on the sample network: files, report, reproducibility, and what is done with the files."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from typer.testing import Result

FILES = {
    "model.qdq.onnx",
    "model.qpk",
    "plan.json",
    "plan.safetensors",
    "report.json",
    "report.md",
    "report.html",
    "problem.json",
}
Cli = Callable[..., Result]


def test_the_folder_holds_the_results_and_nothing_else(compiled: Path) -> None:
    assert {path.name for path in compiled.iterdir()} == FILES


def test_the_report_keeps_its_promises(compiled: Path) -> None:
    report = json.loads((compiled / "report.json").read_text(encoding="utf-8"))
    assert report["cost"]["latency_s"] <= 0.5 * report["cost_8bit"]["latency_s"]
    assert report["budgets"] == [
        {
            "metric": "latency_s",
            "limit": pytest.approx(0.5 * report["cost_8bit"]["latency_s"]),
            "used": report["cost"]["latency_s"],
            "met": True,
        }
    ]
    assert report["metric"]["samples"] == 450
    assert report["metric"]["float"] > 0.97
    assert abs(report["metric"]["quantized"] - report["metric"]["packed"]) < 0.01
    assert sum(layer["weight_bytes"] for layer in report["layers"]) == pytest.approx(
        report["cost"]["weight_bytes"]
    )


def test_the_same_command_writes_the_same_bytes(
    cli: Cli, compiled: Path, quickstart: Path, tmp_path: Path
) -> None:
    data = ["--calib", quickstart / "digits_calib.npz", "--eval", quickstart / "digits_eval.npz"]
    options = ["--target", "bitfusion", "--max-latency", "0.5x", "-o", tmp_path]
    result = cli("quantize", quickstart / "digits.onnx", *data, *options)
    assert result.exit_code == 0, result.output
    for name in ("model.qdq.onnx", "model.qpk", "plan.json"):
        assert (tmp_path / name).read_bytes() == (compiled / name).read_bytes(), name
    lines = result.stdout.splitlines()
    assert 6 <= len(lines) <= 14
    assert str(tmp_path) in lines[-1]


def test_json_on_standard_output_is_the_report(cli: Cli, quickstart: Path, tmp_path: Path) -> None:
    words = ["--calib", quickstart / "digits_calib.npz", "--target", "generic", "--json", "-o", tmp_path]
    result = cli("quantize", quickstart / "digits.onnx", *words)
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout) == json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))


def test_the_plan_can_be_lowered_again(cli: Cli, compiled: Path, quickstart: Path, tmp_path: Path) -> None:
    plan = ["--plan", compiled / "plan.json", "--to", "qdq,packed", "-o", tmp_path, "--json"]
    result = cli("lower", quickstart / "digits.onnx", *plan)
    assert result.exit_code == 0, result.output
    assert sorted(json.loads(result.stdout)["files"]) == sorted(
        str(tmp_path / name) for name in ("model.qdq.onnx", "model.qpk")
    )
    for name in ("model.qdq.onnx", "model.qpk"):
        assert (tmp_path / name).read_bytes() == (compiled / name).read_bytes(), name


def test_a_plan_for_another_model_is_refused(
    cli: Cli, compiled: Path, quickstart: Path, tmp_path: Path
) -> None:
    shutil.copy(compiled / "plan.json", tmp_path / "plan.json")
    text = (tmp_path / "plan.json").read_text(encoding="utf-8")
    digest = json.loads(text)["model_sha256"]
    (tmp_path / "plan.json").write_text(text.replace(digest, "0" * 64), encoding="utf-8")
    result = cli(
        "lower", quickstart / "digits.onnx", "--plan", tmp_path / "plan.json", "-o", tmp_path / "out"
    )
    assert result.exit_code == 3
    assert "0" * 64 in result.stderr
    assert digest in result.stderr
    assert not (tmp_path / "out").exists()


def test_the_artifact_runs_and_agrees_with_the_labels(
    cli: Cli, compiled: Path, quickstart: Path, tmp_path: Path
) -> None:
    with np.load(quickstart / "digits_eval.npz") as data:
        np.savez(tmp_path / "x.npz", x=data["image"][:50])
        labels = data["labels"][:50]
    words = [compiled / "model.qpk", "--input", tmp_path / "x.npz", "-o", tmp_path / "y.npz", "--json"]
    result = cli("run", *words)
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["outputs"] == {"logits": [50, 10]}
    with np.load(tmp_path / "y.npz") as outputs:
        assert np.mean(outputs["logits"].argmax(1) == labels) > 0.9


@pytest.mark.parametrize("other", ["model.qdq.onnx", "model.qpk"])
def test_float_and_quantized_can_be_compared(cli: Cli, compiled: Path, quickstart: Path, other: str) -> None:
    data = ["--data", quickstart / "digits_eval.npz", "--samples", 64, "--json"]
    result = cli("compare", quickstart / "digits.onnx", compiled / other, *data)
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    assert document["samples"] == 64
    assert [output["output"] for output in document["outputs"]] == ["logits"]
    assert document["outputs"][0]["sqnr_db"] > 15


def test_the_two_results_agree_layer_by_layer(cli: Cli, compiled: Path, quickstart: Path) -> None:
    data = ["--data", quickstart / "digits_eval.npz", "--samples", 16, "--per-layer", "--json"]
    result = cli("compare", compiled / "model.qdq.onnx", compiled / "model.qpk", *data)
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    assert document["first_divergence"] is None
    assert len(document["layers"]) >= 6
    assert document["agreement"] == 1.0


def test_a_float_model_beside_narrow_codes_layer_by_layer(cli: Cli, compiled: Path, quickstart: Path) -> None:
    narrow = [
        layer for layer in json.loads((compiled / "plan.json").read_text())["layers"] if layer["act_bits"] < 8
    ]
    assert narrow
    data = ["--data", quickstart / "digits_eval.npz", "--samples", 16, "--per-layer", "--json"]
    result = cli("compare", quickstart / "digits.onnx", compiled / "model.qdq.onnx", *data)
    assert result.exit_code == 0, result.output
    noise = {layer["name"]: layer["sqnr_db"] for layer in json.loads(result.stdout)["layers"]}
    assert min(noise.values()) > 5
    assert len(noise) >= 6


def test_inspect_counts_layers_and_work(cli: Cli, quickstart: Path) -> None:
    result = cli("inspect", quickstart / "digits.onnx", "--json")
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    assert document["macs"] == sum(layer["macs"] for layer in document["layers"]) > 0
    assert {"operator": "GlobalAveragePool", "count": 1} in document["operators"]


def test_analyze_writes_what_it_prints(cli: Cli, quickstart: Path, tmp_path: Path) -> None:
    words = ["--calib", quickstart / "digits_calib.npz", "--target", "bitfusion", "--samples", 16]
    out = tmp_path / "analysis.json"
    result = cli("analyze", quickstart / "digits.onnx", *words, "--json", "-o", out)
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout) == json.loads(out.read_text(encoding="utf-8"))


def test_analyze_tells_what_underflows_in_floating_point_of_few_bits(cli: Cli, quickstart: Path) -> None:
    words = ["--calib", quickstart / "digits_calib.npz", "--target", "generic", "--samples", 16]
    common = ("analyze", quickstart / "digits.onnx", *words, "--sensitivity", "size-only", "--float-safety")
    result = cli(*common, "--json")
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    found = {(row["layer"], row["format"]): row for row in document["float_safety"]}
    assert len(found) == 4 * len(document["layers"])
    assert found["stem.conv", "fp16"]["safe"]
    assert found["stem.conv", "e4m3"]["underflow"] > found["stem.conv", "fp16"]["underflow"]
    assert ["residual_in.conv", "e4m3"] in [row.split()[:2] for row in cli(*common).output.splitlines()]
