"""A repository with a small model, a qtool.toml and a baseline."""

from __future__ import annotations

import shutil
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


@pytest.fixture(scope="session")
def checked(cli: Cli, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with a baseline."""
    folder = make_repository(tmp_path_factory.mktemp("repo") / "repo")
    result = cli("check", folder / "qtool.toml", "--update-baseline")
    assert result.exit_code == 0, result.output
    return folder


@pytest.fixture
def regress() -> Callable[[Path], None]:
    """Replace the model by one that is wrong on two of a hundred evaluation samples."""

    def replace_model(folder: Path) -> None:
        _, run = classifier(np.random.default_rng(0))
        logits = run(np.load(folder / "data" / "eval.npz")["x"])
        gaps = np.sort((logits.max(-1) - logits[:, 0])[logits.argmax(-1) != 0])
        wrong = SAMPLES * 2 // 100
        model, _ = classifier(np.random.default_rng(0), bias=float(gaps[wrong - 1 : wrong + 1].mean()))
        onnx.save(model, folder / "net.onnx")

    return replace_model


@pytest.fixture
def repo(checked: Path, tmp_path: Path) -> Path:
    """A copy of it for a test to change; what was compiled is kept."""
    shutil.copytree(checked, tmp_path / "repo")
    return tmp_path / "repo"
