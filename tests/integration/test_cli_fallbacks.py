"""Layers in floating point, weights stored narrow and MatMulNBits, from the command line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from typer.testing import Result

from passes.execution.session import Level, Session

Cli = Callable[..., Result]


@pytest.fixture
def quantize(cli: Cli, quickstart: Path, tmp_path: Path) -> Cli:
    """Quantize the sample network into a folder of the test."""
    data = ["--calib", quickstart / "digits_calib.npz", "--samples", 64, "--quiet", "-o", tmp_path / "out"]
    return lambda *words: cli("quantize", quickstart / "digits.onnx", *data, *words)


def document(folder: Path, name: str) -> Any:
    return json.loads((folder / "out" / name).read_text(encoding="utf-8"))


def operators(path: Path) -> list[str]:
    return [node.op_type for node in onnx.load(path).graph.node]


def outputs(path: Path, quickstart: Path) -> np.ndarray:
    with np.load(quickstart / "digits_eval.npz") as data:
        images = data["image"][:64].astype(np.float32)
    return Session(onnx.load(path), Level.BASIC, 1).run({"image": images})[0]


def test_a_pinned_layer_stays_float_in_every_file(
    cli: Cli, quantize: Cli, quickstart: Path, tmp_path: Path
) -> None:
    result = quantize("--target", "generic", "--pin", "op:Gemm=float")
    assert result.exit_code == 0, result.output
    report = document(tmp_path, "report.json")
    kept = [layer for layer in report["layers"] if not layer["quantized"]]
    assert kept
    assert all(layer["weight_bits"] is None and layer["weight_bytes"] > 0 for layer in kept)
    assert report["coverage"]["macs"] < 1
    assert "in floating point, so there is no packed artifact" in json.dumps(report["journal"])
    assert not (tmp_path / "out" / "model.qpk").exists()
    plan = tmp_path / "out" / "plan.json"
    assert {layer["act_bits"] for layer in document(tmp_path, "plan.json")["layers"]} == {8, 32}
    words = ["--plan", plan, "--to", "qdq", "-o", tmp_path / "again"]
    assert cli("lower", quickstart / "digits.onnx", *words).exit_code == 0
    written, again = (tmp_path / folder / "model.qdq.onnx" for folder in ("out", "again"))
    assert written.read_bytes() == again.read_bytes()


def test_a_target_of_integers_refuses_floats(quantize: Cli) -> None:
    result = quantize("--target", "bitfusion", "--pin", "op:Conv=float")
    assert result.exit_code == 4
    assert "cannot stay float: the target runs integers only" in result.stderr


def test_the_solver_may_choose_floats(quantize: Cli, tmp_path: Path) -> None:
    words = ["--target", "generic", "--bits", "2,float", "--max-size", "1.5x"]
    result = quantize(*words)
    assert result.exit_code == 0, result.output
    widths = {layer["weight_bits"] for layer in document(tmp_path, "report.json")["layers"]}
    assert widths == {2, None}


def test_blocks_from_the_command_line(cli: Cli, quantize: Cli, quickstart: Path, tmp_path: Path) -> None:
    words = ["--target", "generic", "--pin", "*=w4a32", "--group-size", "16", "--to", "qdq,matmulnbits"]
    result = quantize(*words)
    assert result.exit_code == 0, result.output
    blocks, blocked = (tmp_path / "out" / f"model.{form}.onnx" for form in ("nbits", "qdq"))
    assert "MatMulNBits" in operators(blocks)
    assert "MatMulNBits" not in operators(blocked)
    found, expected = (outputs(path, quickstart) for path in (blocks, blocked))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
    assert "w4a32" in (tmp_path / "out" / "report.md").read_text(encoding="utf-8")
    words = ["--plan", tmp_path / "out" / "plan.json", "--to", "matmulnbits", "-o", tmp_path / "again"]
    assert cli("lower", quickstart / "digits.onnx", *words).exit_code == 0
    assert (tmp_path / "again" / "model.nbits.onnx").read_bytes() == blocks.read_bytes()
