"""``quantize`` and ``search`` killed at random moments: what is there is old or new, and the next run works.

QTOOL_KILLS=100 kills each so many times in place of the few of every run.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

KILLS = int(os.environ.get("QTOOL_KILLS", "2"))
COMMANDS = {
    "quantize": ["--bits", "4,8", "--max-size", "0.7x", "--quality-plans", "0", "--force"],
    "search": ["--solver", "random", "--evaluations", "4", "--force"],
}


def start(command: str, quickstart: Path, out: Path, seed: int) -> subprocess.Popen[bytes]:
    data = ["--calib", quickstart / "digits_calib.npz", "--eval", quickstart / "digits_eval.npz"]
    words = [command, quickstart / "digits.onnx", *data, "--target", "bitfusion", "--samples", "16"]
    words += ["-o", out, *COMMANDS[command], "--seed", str(seed), "--quiet"]
    return subprocess.Popen([sys.executable, "-m", "qtool", *map(str, words)], stderr=subprocess.DEVNULL)


def contents(folder: Path) -> dict[str, bytes]:
    """Files that users read, by name."""
    kinds = (".onnx", ".qpk", ".json", ".safetensors", ".csv")
    return {path.name: path.read_bytes() for path in sorted(folder.glob("*")) if path.suffix in kinds}


def seeds_of(files: dict[str, bytes]) -> set[int]:
    """The seeds of the runs that wrote the documents."""
    documents = [json.loads(data) for name, data in files.items() if name in ("report.json", "front.json")]
    return {document["seed"] for document in documents}


@pytest.mark.parametrize("command", COMMANDS)
def test_killed_at_any_moment(command: str, quickstart: Path, tmp_path: Path) -> None:
    rng, out = np.random.default_rng(0), tmp_path / "out"
    begin = time.perf_counter()
    assert start(command, quickstart, out, seed=0).wait() == 0
    whole, seconds = contents(out), time.perf_counter() - begin
    assert len(whole) > 1
    for seed in range(1, KILLS + 1):
        running = start(command, quickstart, out, seed)
        try:
            running.wait(timeout=float(rng.uniform(0, 1.1 * seconds)))
        except subprocess.TimeoutExpired:
            running.send_signal(signal.SIGKILL)
        running.wait()
        found = contents(out)
        assert found.keys() == whole.keys()
        old = {name for name, data in found.items() if data == whole[name]}
        assert old == whole.keys() or seeds_of(found) == {seed}
        whole = found
    last = start(command, quickstart, out, seed=KILLS + 1)
    assert last.wait() == 0
    assert seeds_of(contents(out)) == {KILLS + 1}
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
