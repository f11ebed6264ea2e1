"""``qtool check`` on a small repository: green, red for what it must be red for, and what it leaves."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper
from typer.testing import Result

Cli = Callable[..., Result]
CONFIG = """
[defaults]
target = "generic"
calib = "data/calib.npz"
eval = "data/eval.npz"
bits = "8"
pin = ["hidden=w7a8"]

[tolerances]
accuracy = "1%"

[models.net]
model = "net.onnx"
"""
SAMPLES, CLASSES = 200, 4


def classifier(rng: np.random.Generator, bias: float = 0.0) -> tuple[onnx.ModelProto, Callable[..., Any]]:
    """Two layers from 8 numbers to 4 classes, and the same in NumPy; `bias` speaks for class 0."""
    first, second = rng.normal(size=(8, 16)).astype(np.float32), rng.normal(size=(16, 4)).astype(np.float32)
    shift = np.array([bias, 0, 0, 0], np.float32)
    arrays = {"first": first, "second": second, "shift": shift, "zero": np.zeros(16, np.float32)}
    nodes = [
        helper.make_node("Gemm", ["x", "first", "zero"], ["h"], name="hidden"),
        helper.make_node("Relu", ["h"], ["r"], name="relu"),
        helper.make_node("Gemm", ["r", "second", "shift"], ["y"], name="logits"),
    ]
    inputs = [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["N", 8])]
    outputs = [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, ["N", CLASSES])]
    stored = [numpy_helper.from_array(array, name) for name, array in arrays.items()]
    graph = helper.make_graph(nodes, "net", inputs, outputs, stored)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return model, lambda x: np.maximum(x @ first, 0) @ second + shift


def make_repository(folder: Path) -> Path:
    """A model, its data and a qtool.toml; the labels are what the model says, so that it is always right."""
    rng = np.random.default_rng(1)
    model, run = classifier(np.random.default_rng(0))
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "data").mkdir()
    x = rng.normal(size=(SAMPLES, 8)).astype(np.float32)
    np.savez(folder / "data" / "calib.npz", x=rng.normal(size=(64, 8)).astype(np.float32))
    np.savez(folder / "data" / "eval.npz", x=x, labels=run(x).argmax(-1))
    onnx.save(model, folder / "net.onnx")
    (folder / "qtool.toml").write_text(CONFIG, encoding="utf-8")
    return folder


def regress(folder: Path, share: float) -> None:
    """Replace the model by one that is wrong on that share of the evaluation samples."""
    _, run = classifier(np.random.default_rng(0))
    logits = run(np.load(folder / "data" / "eval.npz")["x"])
    gaps = np.sort((logits.max(-1) - logits[:, 0])[logits.argmax(-1) != 0])
    wrong = round(share * SAMPLES)
    model, _ = classifier(np.random.default_rng(0), bias=float(gaps[wrong - 1 : wrong + 1].mean()))
    onnx.save(model, folder / "net.onnx")


@pytest.fixture(scope="module")
def checked(cli: Cli, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with a baseline."""
    folder = make_repository(tmp_path_factory.mktemp("repo") / "repo")
    result = cli("check", folder / "qtool.toml", "--update-baseline")
    assert result.exit_code == 0, result.output
    return folder


@pytest.fixture
def repo(checked: Path, tmp_path: Path) -> Path:
    """A copy of it for a test to change; what was compiled is kept."""
    command = ["cp", "-r", str(checked), str(tmp_path / "repo")]
    subprocess.run(command, check=True)
    return tmp_path / "repo"


def failed(folder: Path) -> dict[str, list[str]]:
    """The checks that failed in the last run, with the layers of their findings."""
    document = json.loads((folder / "qtool-out" / "check.json").read_text(encoding="utf-8"))
    return {
        case["name"]: [finding["layer"] for finding in case["findings"] if finding["level"] == "error"]
        for case in document["models"][0]["cases"]
        if not case["ok"]
    }


def test_nothing_changed_is_green_and_compiles_nothing(cli: Cli, repo: Path) -> None:
    result = cli("check", repo / "qtool.toml")
    assert result.exit_code == 0, result.output
    assert "1 model ok" in result.stdout
    assert "kept" in result.stdout
    assert {file.name for file in (repo / "qtool-out" / "models" / "net").iterdir()} >= {
        "model.qdq.onnx",
        "model.qpk",
        "plan.json",
    }


def test_a_regression_of_two_points_is_red(cli: Cli, repo: Path) -> None:
    regress(repo, 0.02)
    result = cli("check", repo / "qtool.toml")
    assert result.exit_code == 5, result.output
    assert {"accuracy", "accuracy-packed"} <= failed(repo).keys()
    assert "below the baseline" in result.stdout
    assert "plan" not in failed(repo)


def test_other_bits_are_a_changed_plan_and_a_size_overrun(cli: Cli, repo: Path) -> None:
    (repo / "qtool.toml").write_text(CONFIG.replace("hidden=w7a8", "hidden=w8a8"), encoding="utf-8")
    result = cli("check", repo / "qtool.toml")
    assert result.exit_code == 5, result.output
    assert failed(repo)["plan"] == ["hidden"]
    assert failed(repo)["size"] == [""]
    summary = (repo / "qtool-out" / "summary.md").read_text(encoding="utf-8")
    assert "hidden: w7a8 became w8a8" in summary
    assert "Not as they were at the baseline: options." in summary


def test_an_absolute_limit_needs_no_baseline(cli: Cli, repo: Path) -> None:
    with (repo / "qtool.toml").open("a", encoding="utf-8") as file:
        file.write('[models.net.tolerances]\nsize = "100B"\n')
    result = cli("check", repo / "qtool.toml", "--update-baseline", "--json")
    assert result.exit_code == 5
    assert json.loads(result.stdout)["exit_code"] == 5
    assert failed(repo) == {"size": [""]}


def test_a_model_without_a_baseline_is_red(cli: Cli, repo: Path) -> None:
    (repo / "qtool-baseline.json").unlink()
    result = cli("check", repo / "qtool.toml")
    assert result.exit_code == 5
    assert failed(repo) == {"baseline": [""]}
    assert "--update-baseline" in result.stdout


def test_updating_takes_what_is_found_for_right(cli: Cli, repo: Path) -> None:
    before = (repo / "qtool-baseline.json").read_bytes()
    regress(repo, 0.02)
    assert cli("check", repo / "qtool.toml", "--update-baseline", "--quiet").exit_code == 0
    assert cli("check", repo / "qtool.toml", "--quiet").exit_code == 0
    assert (repo / "qtool-baseline.json").read_bytes() != before


def test_a_rebuild_gives_the_same_bytes(cli: Cli, repo: Path) -> None:
    result = cli("check", repo / "qtool.toml", "--rebuild")
    assert result.exit_code == 0, result.output
    document = json.loads((repo / "qtool-out" / "check.json").read_text(encoding="utf-8"))
    assert document["models"][0]["cases"][-1]["found"] == "4 files the same"


def test_a_model_that_does_not_compile_is_an_error_beside_the_others(cli: Cli, repo: Path) -> None:
    with (repo / "qtool.toml").open("a", encoding="utf-8") as file:
        file.write(
            '[models.gone]\nmodel = "gone.onnx"\n[models.tight]\nmodel = "net.onnx"\nmax_size = "1B"\n'
        )
    result = cli("check", repo / "qtool.toml")
    assert result.exit_code == 3, result.output
    assert "gone.onnx: expected an .onnx file" in result.stdout
    document = json.loads((repo / "qtool-out" / "check.json").read_text(encoding="utf-8"))
    assert [model["ok"] for model in document["models"]] == [True, False, False]
    assert "the least that is feasible" in document["models"][2]["error"]


def test_a_damaged_result_is_made_again(cli: Cli, repo: Path) -> None:
    artifact = next((repo / "qtool-out" / "cache").glob("*/model.qpk"))
    artifact.write_bytes(artifact.read_bytes()[:-1])
    assert cli("check", repo / "qtool.toml").exit_code == 0
    document = json.loads((repo / "qtool-out" / "check.json").read_text(encoding="utf-8"))
    assert document["models"][0]["cached"] is False


def test_a_warm_run_loads_nothing_heavy(repo: Path, repository: Path) -> None:
    code = (
        "import sys; from qtool.cli.main import app\n"
        "try: app(['check', sys.argv[1], '--quiet'])\n"
        "except SystemExit as end: assert not end.code\n"
        "print(*{name.partition('.')[0] for name in sys.modules})"
    )
    command = [sys.executable, "-c", code, str(repo / "qtool.toml")]
    environment = os.environ | {"PYTHONPATH": str(repository)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "qtool" in loaded
    assert not loaded & {"onnx", "onnxruntime", "onnx_graphsurgeon", "scipy", "networkx", "torch"}


@pytest.mark.parametrize(
    ("text", "code", "message"),
    [
        ("", 3, "expected a table [models.NAME]"),
        ("[models.a]\nmodle = 'x'", 3, "[models.a] model: expected the path"),
        ("[models.a]\nmodel = 'x'\ntarget = 'generic'\nsample = 3", 3, "did you mean samples?"),
        ("[models.a]\nmodel = 'x'\ntarget = 'generic'\n[tolerances]\nlint = 'all'", 2, "tolerance lint"),
    ],
)
def test_a_file_that_cannot_be_used(cli: Cli, tmp_path: Path, text: str, code: int, message: str) -> None:
    (tmp_path / "qtool.toml").write_text(text, encoding="utf-8")
    result = cli("check", tmp_path / "qtool.toml")
    assert result.exit_code == code
    assert message in result.stderr
    assert not (tmp_path / "qtool-out").exists()
