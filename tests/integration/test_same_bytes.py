"""The same input gives the same bytes, whatever the number of threads and the seed of Python's hashes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

TAKEN = ("time_s", "peak_rss_bytes")
"""Keys of report.json that say how a run went, not what it gave."""
COMMAND = ["--target", "bitfusion", "--max-latency", "0.5x", "--to", "qdq,qcdq,packed", "--samples", "32"]
COMMAND += ["--quality-plans", "0"]


def results(quickstart: Path, out: Path, threads: int, hashes: int) -> dict[str, Any]:
    """What a run in a process of its own writes."""
    data = ["--calib", quickstart / "digits_calib.npz", "--eval", quickstart / "digits_eval.npz"]
    words = ["quantize", quickstart / "digits.onnx", *data, *COMMAND, "--workers", threads, "-o", out]
    environment = os.environ | {"PYTHONHASHSEED": str(hashes), "OMP_NUM_THREADS": str(threads)}
    command = [sys.executable, "-m", "qtool", *map(str, words), "--quiet"]
    subprocess.run(command, check=True, env=environment)
    files: dict[str, Any] = {path.name: path.read_bytes() for path in out.iterdir()}
    report = json.loads(files.pop("report.json"))
    # Both show what report.json says, times included.
    del files["report.md"], files["report.html"]
    return files | {"report": {key: value for key, value in report.items() if key not in TAKEN}}


@pytest.mark.parametrize(("threads", "hashes"), [(3, 12345)])
def test_threads_and_hashes_change_no_byte(
    quickstart: Path, tmp_path: Path, threads: int, hashes: int
) -> None:
    first = results(quickstart, tmp_path / "a", 1, 0)
    second = results(quickstart, tmp_path / "b", threads, hashes)
    assert {"model.qdq.onnx", "model.qcdq.onnx", "model.qpk", "plan.json", "plan.safetensors"} <= first.keys()
    assert first.keys() == second.keys()
    assert [name for name in first if first[name] != second[name]] == []
