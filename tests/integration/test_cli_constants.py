"""A plan whose weights were changed by data: ``qtool lower`` writes what ``qtool quantize`` wrote."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper
from typer.testing import Result

from passes.ir.plan_file import read_plan, write_plan

FORMS = ("model.qdq.onnx", "model.qcdq.onnx", "model.qpk")
PIPELINE = "canonicalize,fold-batchnorm,equalize,smooth,allocate{uniform=w4a8},assign-scales,gptq"
Cli = Callable[..., Result]


@pytest.fixture
def files(tmp_path: Path, rng: np.random.Generator) -> Path:
    """A folder with a normalization before a layer, and its data."""
    weight, gain = rng.normal(size=(6, 3)).astype(np.float32), np.array([1, 1, 40, 1, 1, 2], np.float32)
    constants = [numpy_helper.from_array(array, name) for name, array in (("w", weight), ("g", gain))]
    nodes = [
        helper.make_node("LayerNormalization", ["x", "g"], ["n"], name="norm"),
        helper.make_node("Identity", ["n"], ["copy"], name="copy"),
        helper.make_node("MatMul", ["copy", "w"], ["y"], name="layer"),
    ]
    ends = [helper.make_tensor_value_info(name, 1, ["N", size]) for name, size in (("x", 6), ("y", 3))]
    graph = helper.make_graph(nodes, "net", ends[:1], ends[1:], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, tmp_path / "net.onnx")
    np.savez(tmp_path / "calib.npz", x=rng.normal(size=(32, 6)).astype(np.float32))
    return tmp_path


@pytest.fixture
def quantize(cli: Cli, files: Path) -> Callable[..., Result]:
    """Quantize that model by a pipeline, into all forms."""

    def run(pipeline: str, *words: object) -> Result:
        data = ["--calib", files / "calib.npz", "--to", "qdq,qcdq,packed", "--target", "generic", "--quiet"]
        return cli("quantize", files / "net.onnx", *data, "-o", files / "out", "--pipeline", pipeline, *words)

    return run


@pytest.fixture
def lower(cli: Cli, files: Path) -> Callable[[], Result]:
    """Lower that model by the plan that quantizing left."""
    words = ["--plan", files / "out" / "plan.json", "--to", "qdq,qcdq,packed", "-o", files / "again"]
    return lambda: cli("lower", files / "net.onnx", *words)


def test_lowering_writes_the_same_bytes(quantize, lower, files: Path) -> None:
    result = quantize(PIPELINE)
    assert result.exit_code == 0, result.output
    document = json.loads((files / "out" / "plan.json").read_text(encoding="utf-8"))
    assert document["constants"] == ["g", "w"]
    assert "smooth" not in document["prepared"]
    result = lower()
    assert result.exit_code == 0, result.output
    for name in FORMS:
        assert (files / "again" / name).read_bytes() == (files / "out" / name).read_bytes()


def test_constants_matter(quantize, lower, files: Path) -> None:
    assert quantize(PIPELINE).exit_code == 0
    path = files / "out" / "plan.json"
    sha256 = json.loads(path.read_text(encoding="utf-8"))["model_sha256"]
    plan = read_plan(path, sha256)
    plan.constants["g"] = plan.constants["g"] * np.float32(2)
    write_plan(plan, path, sha256, "generic")
    assert lower().exit_code == 0
    assert (files / "again" / FORMS[0]).read_bytes() != (files / "out" / FORMS[0]).read_bytes()


def test_constants_that_do_not_fit_are_refused(quantize, lower, files: Path) -> None:
    assert quantize(PIPELINE).exit_code == 0
    path = files / "out" / "plan.json"
    sha256 = json.loads(path.read_text(encoding="utf-8"))["model_sha256"]
    plan = read_plan(path, sha256)
    plan.constants["g"] = plan.constants["g"][:2]
    write_plan(plan, path, sha256, "generic")
    result = lower()
    assert result.exit_code == 3
    assert "float32 values of shape (2,) for 'g'" in result.stderr
    assert not (files / "again").exists()


def test_passes_that_change_the_model_afterwards_are_refused(quantize) -> None:
    result = quantize("smooth,canonicalize,allocate{uniform=w8a8},assign-scales")
    assert result.exit_code == 2
    assert "canonicalize changes the model after smooth" in result.stderr


def test_a_search_over_plans_wants_its_weights_to_stay(quantize, files: Path) -> None:
    words = ["--max-drop", "1%", "--eval", files / "calib.npz", "--metric", "agreement"]
    result = quantize("canonicalize,allocate,smooth,assign-scales", *words)
    assert result.exit_code == 2
    assert "put smooth before allocate" in result.stderr
