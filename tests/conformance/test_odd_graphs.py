"""Graphs from many repositories: they go through with the results they had, or are refused with a reason.

A part of them in every run, all with QTOOL_ODD=1; benchmarks/coverage.py runs all of them from end to end,
those too that unfold into hundreds of megabytes and are left out here.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from qtool.cli.main import app

sys.path[:0] = [str(Path(__file__).parents[2] / "benchmarks")]

from coverage_cases import Case, made_up, odd_cases  # noqa: E402
from coverage_runs import canonicalized  # noqa: E402

EVERY = 1 if os.environ.get("QTOOL_ODD") else 3
ALSO_QUANTIZED = 6 * EVERY
HEAVY = "light_"

pytestmark = pytest.mark.needs_data


def some(data: Path, folder: Path, every: int) -> list[Case]:
    """Every so many of the graphs, without those of many megabytes."""
    paths = sorted((data / "odd_graphs").glob("*/*.onnx"))[::every]
    return [made_up(path.stem, path, folder) for path in paths if HEAVY not in path.name]


def test_the_benchmark_has_all_of_them(shared_data: Path, tmp_path: Path) -> None:
    assert len(list(odd_cases(shared_data, tmp_path))) > 250


def test_they_compute_what_they_did_once_canonicalized(shared_data: Path, tmp_path: Path) -> None:
    outcomes = {case.name: canonicalized(case)["outcome"] for case in some(shared_data, tmp_path, EVERY)}
    wrong = {name: found for name, found in outcomes.items() if found in ("broken", "differs")}
    assert wrong == {}
    assert list(outcomes.values()).count("same") > len(outcomes) / 2


def test_they_are_quantized_or_refused_in_words(shared_data: Path, tmp_path: Path) -> None:
    for case in some(shared_data, tmp_path, ALSO_QUANTIZED):
        words = ["quantize", case.model, "--calib", case.calib, "--eval", case.eval, "--target", "generic"]
        words += ["-o", tmp_path / case.name, "--quiet"]
        result = CliRunner().invoke(app, [str(word) for word in words])
        assert result.exit_code in (0, 3), (case.name, result.stderr)
        assert result.exit_code == 0 or len(result.stderr) > 20
