"""Multipoint quantization from a pipeline text to files that run, and written again from the plan."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from typer.testing import Result

Cli = Callable[..., Result]
PIPELINE = (
    "canonicalize,fold-batchnorm,equalize,allocate{uniform=w3a8},assign-scales,"
    "multipoint{growth=1.3},gptq,bias-correction"
)


def test_points_reach_every_file(cli: Cli, quickstart: Path, tmp_path: Path) -> None:
    data = ["--calib", quickstart / "digits_calib.npz", "--eval", quickstart / "digits_eval.npz"]
    words = ["quantize", quickstart / "digits.onnx", *data, "--target", "bitfusion", "--quiet"]
    result = cli(*words, "--pipeline", PIPELINE, "-o", tmp_path / "out")
    assert result.exit_code == 0, result.output
    folder = tmp_path / "out"
    plan = json.loads((folder / "plan.json").read_text(encoding="utf-8"))
    points = {name: entry["points"] for name, entry in plan["tensors"].items() if "points" in entry}
    assert points
    assert all(
        len(plan["tensors"][name]["scale"]) == sum(counts) > len(counts) for name, counts in points.items()
    )
    report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    assert report["agreement"]["qdq_vs_packed_max_lsb"] == 0
    narrow = sum(layer["weight_bits"] == 3 for layer in report["layers"])
    assert narrow == len(report["layers"])
    again = cli("lower", quickstart / "digits.onnx", "--plan", folder / "plan.json", "-o", tmp_path / "again")
    assert again.exit_code == 0, again.output
    for name in ("model.qdq.onnx", "model.qpk"):
        assert (tmp_path / "again" / name).read_bytes() == (folder / name).read_bytes()
