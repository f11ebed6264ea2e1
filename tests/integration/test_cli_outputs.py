"""Where results may be written."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

Quantize = Callable[..., Result]


@pytest.fixture
def quantize(cli: Callable[..., Result], quickstart: Path) -> Quantize:
    """Quantize the sample network into a folder."""
    words = ["--calib", quickstart / "digits_calib.npz", "--target", "generic", "--samples", 8, "--quiet"]
    return lambda out, *more: cli("quantize", quickstart / "digits.onnx", *words, "-o", out, *more)


def test_a_folder_with_other_files_is_refused(quantize: Quantize, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work", encoding="utf-8")
    result = quantize(tmp_path)
    assert result.exit_code == 2
    assert str(tmp_path) in result.stderr
    assert "--force" in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_force_leaves_other_files_alone(quantize: Quantize, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work", encoding="utf-8")
    (tmp_path / "model.qpk").write_bytes(b"old")
    result = quantize(tmp_path, "--force")
    assert result.exit_code == 0, result.output
    assert (tmp_path / "thesis.txt").read_text(encoding="utf-8") == "years of work"
    assert (tmp_path / "model.qpk").read_bytes() != b"old"


@pytest.mark.parametrize("below", ["file", "file/out"])
def test_a_folder_that_cannot_be_made_is_refused(quantize: Quantize, tmp_path: Path, below: str) -> None:
    (tmp_path / "file").write_bytes(b"kept")
    result = quantize(tmp_path / below)
    assert result.exit_code == 2
    assert "is a file; choose a folder" in result.stderr
    assert (tmp_path / "file").read_bytes() == b"kept"


@pytest.mark.parametrize("step", ["replace", "write_text", "write_bytes"])
def test_a_disk_that_fills_up_leaves_nothing(
    quantize: Quantize, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    def fail(path: Path, *_: object, **__: object) -> None:
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(Path, step, fail)
    result = quantize(tmp_path / "out")
    assert result.exit_code == 3
    assert "No space left on device" in result.stderr
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


@pytest.mark.parametrize("limit", [0, 9_000])
def test_files_that_may_not_grow_leave_the_old_results(
    quantize: Quantize, tmp_path: Path, limit: int
) -> None:
    """The system stops every file at a size, as a full disk or a quota does."""
    out = tmp_path / "out"
    out.mkdir()
    for name in ("model.qdq.onnx", "report.json"):
        (out / name).write_bytes(b"old")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        result = quantize(out, "--force")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert result.exit_code == 3, result.output
    assert "File too large" in result.stderr
    assert {path.name: path.read_bytes() for path in out.iterdir()} == {
        "model.qdq.onnx": b"old",
        "report.json": b"old",
    }
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_two_runs_into_one_folder_leave_the_files_of_one(quickstart: Path, tmp_path: Path) -> None:
    words = [
        "quantize",
        quickstart / "digits.onnx",
        "--calib",
        quickstart / "digits_calib.npz",
        "--samples",
        8,
    ]
    words += ["--target", "generic", "-o", tmp_path / "out", "--force", "--quiet"]
    runs = [
        subprocess.Popen([sys.executable, "-m", "qtool", *map(str, words), "--bits", bits, "--seed", bits])
        for bits in ("4", "8")
    ]
    assert [run.wait() for run in runs] == [0, 0]
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    report, plan = (
        json.loads((tmp_path / "out" / name).read_text()) for name in ("report.json", "plan.json")
    )
    assert {layer["weight_bits"] for layer in plan["layers"]} == {report["seed"]}
    assert (tmp_path / "out" / "model.qpk").is_file()
