"""``qtool run``: engines, threads and batches give the same file."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import Result

from qtool.runtime.choice import FELL_BACK
from qtool.runtime.native import is_built

Cli = Callable[..., Result]
needs_kernels = pytest.mark.skipif(not is_built(), reason="the native kernels are not built")


@pytest.fixture
def execute(cli: Cli, compiled: Path, tmp_path: Path, rng: np.random.Generator) -> Callable[..., Any]:
    """Run the sample network over ten random images; return the output and what was printed."""
    images = rng.uniform(0, 1, (10, 1, 8, 8)).astype(np.float32)
    np.savez(tmp_path / "x.npz", image=images)

    def run(*options: object) -> tuple[np.ndarray, dict[str, Any]]:
        words = ["--input", tmp_path / "x.npz", "-o", tmp_path / "y.npz", "--json"]
        result = cli("run", compiled / "model.qpk", *words, *options)
        assert result.exit_code == 0, result.output
        with np.load(tmp_path / "y.npz") as outputs:
            [values] = outputs.values()
        return values, json.loads(result.stdout)

    return run


@needs_kernels
def test_both_engines_write_the_same_values(execute: Callable[..., Any]) -> None:
    expected, reference = execute("--engine", "reference")
    for options in ((), ("--threads", 3), ("--batch", 3), ("--engine", "native", "--threads", 0)):
        found, document = execute(*options)
        np.testing.assert_array_equal(found, expected)
        assert document["engine"] == "native"
        assert document["samples"] == 10
        assert document["activation_peak_bytes"] > 0
    assert (reference["engine"], reference["instructions"]) == ("reference", "numpy")


def test_batches_do_not_show_in_the_result(execute: Callable[..., Any]) -> None:
    whole, document = execute("--engine", "reference")
    parts, _ = execute("--engine", "reference", "--batch", 4)
    np.testing.assert_array_equal(parts, whole)
    assert document["samples_per_second"] > 0
    assert document["weight_bytes"] > 0


def test_without_kernels_the_reference_runs_and_says_why(
    execute: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("qtool.runtime.choice.is_built", lambda: False)
    _, document = execute()
    assert (document["engine"], document["note"]) == ("reference", FELL_BACK)


def test_an_unknown_engine_is_refused(cli: Cli, compiled: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", image=np.zeros((1, 1, 8, 8), np.float32))
    words = ["--input", tmp_path / "x.npz", "-o", tmp_path / "y.npz", "--engine", "turbo"]
    result = cli("run", compiled / "model.qpk", *words)
    assert result.exit_code == 2
    assert "reference" in result.stderr
