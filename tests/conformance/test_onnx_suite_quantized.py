"""The onnx package's tests of operators that multiply, from file to comparison: near the float model.

A part of them in every run, all with QTOOL_SUITE=1; benchmarks/coverage.py runs all of them in all forms.
"""

from __future__ import annotations

import json
import os
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from qtool.cli.main import app

sys.path[:0] = [str(Path(__file__).parents[2] / "benchmarks")]

from coverage_cases import Case, suite_cases  # noqa: E402

EVERY = 1 if os.environ.get("QTOOL_SUITE") else 24
LEAST_DB = 25.0
"""Of signal over noise, with 8 bits everywhere."""
OUTLIERS = {"test_attention_4d_softcap_neginf_mask_poison_expanded"}
"""Hidden values of 1000 take the whole range of 8 bits."""
REASONS = (
    "nothing can be quantized", "expected an opset from 7 to 26",
    "is NaN or infinite on the calibration data", "Input to 'Range' op should be scalars",
)  # fmt: skip
CELLS = ("gru", "lstm", "rnn")


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> list[Case]:
    """All of them."""
    with warnings.catch_warnings():
        # The package computes its expected values while it loads them, some of them infinite on purpose.
        warnings.simplefilter("ignore")
        return list(suite_cases(Path(), tmp_path_factory.mktemp("cases")))


def outcome(case: Case, folder: Path) -> str | dict[str, Any]:
    """Return the report of a compilation, or why there is none."""
    words = ["quantize", case.model, "--calib", case.calib, "--eval", case.eval, "--target", "generic"]
    words += ["--metric", "sqnr", "--to", "qdq,packed", "-o", folder / case.name, "--quiet"]
    result = CliRunner().invoke(app, [str(word) for word in words])
    if result.exit_code == 0:
        return dict(json.loads((folder / case.name / "report.json").read_text()))
    assert result.exit_code == 3, (case.name, result.stderr)
    return str(result.stderr)


def test_they_are_near_the_float_model_or_refused_in_words(cases: list[Case], tmp_path: Path) -> None:
    found = {case.name: outcome(case, tmp_path) for case in cases[::EVERY]}
    reports = {name: it for name, it in found.items() if not isinstance(it, str)}
    refused = {name: it for name, it in found.items() if isinstance(it, str)}
    assert {name: why for name, why in refused.items() if not any(it in why for it in REASONS)} == {}
    assert len(reports) > 0.6 * len(found)
    for name in reports.keys() - OUTLIERS:
        metric, agreement = reports[name]["metric"], reports[name]["agreement"]
        assert metric["quantized"] > LEAST_DB, (name, metric)
        assert metric["packed"] is None or metric["packed"] > LEAST_DB, (name, metric)
        # The states of cells have codes of 16 bits.
        lsb = agreement["qdq_vs_packed_max_lsb"]
        assert lsb is None or lsb <= 1 or any(cell in name for cell in CELLS), (name, lsb)
