"""Split channels and searched clips from a pipeline text to files that run, and again from the plan."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from typer.testing import Result

Cli = Callable[..., Result]
PIPELINE = (
    "canonicalize,fold-batchnorm,equalize,split-channels{ratio=0.2},allocate{uniform=w4a8},"
    "assign-scales{clip=both},gptq,bias-correction"
)


def test_split_channels_reach_every_file(cli: Cli, quickstart: Path, tmp_path: Path) -> None:
    data = ["--calib", quickstart / "digits_calib.npz", "--eval", quickstart / "digits_eval.npz"]
    words = ["quantize", quickstart / "digits.onnx", *data, "--target", "bitfusion", "--quiet"]
    result = cli(*words, "--pipeline", PIPELINE, "-o", tmp_path / "out")
    assert result.exit_code == 0, result.output
    folder = tmp_path / "out"
    plan = json.loads((folder / "plan.json").read_text(encoding="utf-8"))
    assert "split-channels{ratio=0.2}" in plan["prepared"]
    report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    assert report["agreement"]["qdq_vs_packed_max_lsb"] == 0
    again = cli("lower", quickstart / "digits.onnx", "--plan", folder / "plan.json", "-o", tmp_path / "again")
    assert again.exit_code == 0, again.output
    for name in ("model.qdq.onnx", "model.qpk"):
        assert (tmp_path / "again" / name).read_bytes() == (folder / name).read_bytes()
