"""``qtool finetune``: from a plan to a better one in the same files; what is missing is refused in words."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from typer.testing import Result

from qtool.finetune import CHECKPOINT

Cli = Callable[..., Result]
needs_torch = pytest.mark.skipif(find_spec("torch") is None, reason="needs the extra train")


@pytest.fixture(scope="module")
def rough(cli: Cli, quickstart: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A plan of the sample network that loses much."""
    out = tmp_path_factory.mktemp("rough") / "out"
    pipeline = "canonicalize,fold-batchnorm,allocate{uniform=w3a3},assign-scales"
    data = ["--calib", quickstart / "digits_calib.npz", "--eval", quickstart / "digits_eval.npz"]
    options = ["--target", "generic", "--pipeline", pipeline, "--to", "qdq", "--quality-plans", 0, "--quiet"]
    result = cli("quantize", quickstart / "digits.onnx", *data, *options, "-o", out)
    assert result.exit_code == 0, result.output
    return out


def words(quickstart: Path, plan: Path, out: Path) -> list[object]:
    data = ["--train", quickstart / "digits_calib.npz", "--eval", quickstart / "digits_eval.npz"]
    return ["finetune", quickstart / "digits.onnx", "--plan", plan / "plan.json", *data, "-o", out]


@needs_torch
def test_a_plan_becomes_better_and_its_files_are_those_of_quantize(
    cli: Cli, quickstart: Path, rough: Path, tmp_path: Path
) -> None:
    out = tmp_path / "tuned"
    result = cli(*words(quickstart, rough, out), "--steps", 60, "--rate", 0.03, "--workers", 1, "--json")
    assert result.exit_code == 0, result.output
    report, before = json.loads(result.output), json.loads((rough / "report.json").read_text())
    assert report["metric"]["float"] == before["metric"]["float"]
    assert report["metric"]["quantized"] > before["metric"]["quantized"] + 0.02
    assert report["metric"]["packed"] == report["metric"]["quantized"]
    assert report["agreement"]["qdq_vs_packed_max_lsb"] == 0
    assert report["cost"] == before["cost"]
    assert {file.name for file in out.iterdir()} == {
        "model.qdq.onnx", "model.qpk", "plan.json", "plan.safetensors", "report.json", "report.md",
    }  # fmt: skip
    plans = [json.loads((folder / "plan.json").read_text()) for folder in (out, rough)]
    assert plans[0]["prepared"] == plans[1]["prepared"] == "fold-batchnorm"
    again = cli("lower", quickstart / "digits.onnx", "--plan", out / "plan.json", "-o", tmp_path / "again")
    assert again.exit_code == 0, again.output
    assert (tmp_path / "again" / "model.qpk").read_bytes() == (out / "model.qpk").read_bytes()


@needs_torch
def test_an_interrupted_run_goes_on_in_its_folder(
    cli: Cli, quickstart: Path, rough: Path, tmp_path: Path
) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    options = ["--steps", 8, "--options", "checks=4", "--workers", 1, "--quiet"]
    assert cli(*words(quickstart, rough, whole), *options).exit_code == 0

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("qtool.compilation.lower_forms", stop)
        stopped = cli(*words(quickstart, rough, parts), *options)
    assert stopped.exit_code != 0
    assert [file.name for file in parts.iterdir()] == [CHECKPOINT]
    resumed = cli(*words(quickstart, rough, parts), *options)
    assert resumed.exit_code == 0, resumed.output
    assert (parts / "model.qpk").read_bytes() == (whole / "model.qpk").read_bytes()


def test_without_pytorch_the_extra_is_named(
    cli: Cli, quickstart: Path, rough: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("passes.training.course.find_spec", lambda name: None)
    result = cli(*words(quickstart, rough, tmp_path / "out"))
    assert result.exit_code == 2
    assert "pip install 'qtool[train]'" in result.output
    assert not (tmp_path / "out").exists()


@needs_torch
def test_labels_that_are_asked_for_must_be_there(
    cli: Cli, quickstart: Path, rough: Path, tmp_path: Path
) -> None:
    data = dict(np.load(quickstart / "digits_calib.npz"))
    data.pop("labels", None)
    np.savez(tmp_path / "bare.npz", **data)
    line = words(quickstart, rough, tmp_path / "out")
    line[line.index("--train") + 1] = tmp_path / "bare.npz"
    result = cli(*line, "--labels", 0.5)
    assert result.exit_code == 2
    assert "bare.npz has no labels" in result.output


@needs_torch
@pytest.mark.parametrize(
    ("option", "message"),
    [
        (["--steps", "0"], "steps must be at least 1"),
        (["--options", "stepp=3"], "stepp"),
        (["--to", "tflite"], "unknown form"),
    ],
)
def test_bad_options_are_refused(
    cli: Cli, quickstart: Path, rough: Path, tmp_path: Path, option: list[str], message: str
) -> None:
    result = cli(*words(quickstart, rough, tmp_path / "out"), *option)
    assert result.exit_code == 2
    assert message in result.output
