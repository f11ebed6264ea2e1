"""Documents on the terminal."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from qtool.cli.render import show
from qtool.cli.summary import show_summary
from qtool.report.report import Report

DOCUMENT = {
    "name": "net",
    "loss": 0.123456789,
    "cost": {"bops": 2, "energy": None},
    "tags": ["a", "b"],
    "none": [],
    "layers": [{"layer": "conv[1]", "bits": 8}, {"layer": "fc", "bits": 4, "ok": True}],
}


def test_json_is_the_document(capsys: pytest.CaptureFixture[str]) -> None:
    show(DOCUMENT, as_json=True, quiet=True)
    assert json.loads(capsys.readouterr().out) == DOCUMENT


def test_quiet_prints_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    show(DOCUMENT, as_json=False, quiet=True)
    assert capsys.readouterr().out == ""


def test_values_come_before_tables(capsys: pytest.CaptureFixture[str]) -> None:
    show(DOCUMENT, as_json=False, quiet=False)
    lines = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    assert lines == [
        "name: net",
        "loss: 0.12346",
        "cost.bops: 2",
        "cost.energy: -",
        "tags: a, b",
        "none: none",
        "layers",
        "layer    bits   ok",
        "conv[1]     8    -",
        "fc          4  yes",
    ]


def test_long_cells_are_not_cut_where_nobody_watches(capsys: pytest.CaptureFixture[str]) -> None:
    show({"rows": [{"name": "x" * 300}]}, as_json=False, quiet=False)
    assert "x" * 300 in capsys.readouterr().out


def test_the_summary_has_about_ten_lines(capsys: pytest.CaptureFixture[str], report: Report) -> None:
    show_summary(report, Path("out"))
    lines = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    assert 8 <= len(lines) <= 12
    assert lines[0].split() == ["float", "8", "bits", "plan", "change"]
    assert "budget latency: 500 us of 500 us, met" in lines
    assert "QDQ and packed: at most 1 LSB apart layer by layer, same class on 99.8 % of the samples" in lines
    assert lines[-1] == "12.3 s, 412 MB; results in out/"


def test_the_summary_leaves_out_what_is_not_there(capsys: pytest.CaptureFixture[str], report: Report) -> None:
    show_summary(replace(report, budgets=(), agreement=None), Path("out"))
    text = capsys.readouterr().out
    assert "budget" not in text
    assert "LSB" not in text
