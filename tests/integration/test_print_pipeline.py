"""``qtool quantize --print-pipeline`` says what a run expands to, and does nothing else."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from passes.pipeline import parse


def test_print_pipeline(quickstart: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    arguments = [str(quickstart / "digits.onnx"), "--calib", str(quickstart / "digits_calib.npz")]
    arguments += ["--target", "bitfusion", "--max-latency", "0.5x", "-o", str(out), "--print-pipeline"]
    command = [sys.executable, "-m", "qtool", "quantize", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "allocate{max-latency=0.5x}" in done.stdout
    assert parse(done.stdout.strip())
    assert not out.exists()
