"""What changed between runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from passes.errors import ReportError, UsageError
from qtool.compare_runs import RunsReport, compare_runs
from qtool.report import LayerReport, MetricReport, Report, report_json
from qtool.report.runs import runs_html, runs_markdown

Folder = Callable[[str, Report], Path]


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """Write the folder of a run that has a report."""

    def write(name: str, report: Report) -> Path:
        (tmp_path / name).mkdir()
        (tmp_path / name / "report.json").write_text(report_json(report), encoding="utf-8")
        return tmp_path / name

    return write


@pytest.fixture
def found(folder: Folder, report: Report) -> RunsReport:
    """A run, and another of half the latency, two points less, another seed and other bits."""
    layers = (
        LayerReport("conv|1", "Conv", 2, 16),
        LayerReport("new", "Conv", 8, 8),
        *report.layers[1:],
    )
    other = replace(
        report,
        seed=7,
        layers=layers,
        cost=replace(report.cost, latency_s=0.25e-3),
        metric=MetricReport("top1", 450, 0.99, 0.96, 0.975),
    )
    return compare_runs([folder("before", report), folder("after", other)])


def values(found: RunsReport, what: str) -> tuple[str, ...]:
    """Values and change of one row."""
    rows = (*found.results, *found.layers, *found.circumstances)
    return next((*row.values, row.change) for row in rows if row.what == what)


def test_results_stand_side_by_side_with_their_change(found: RunsReport) -> None:
    assert values(found, "top1") == ("98.00 %", "96.00 %", "-2.00 points")
    assert values(found, "top1, packed") == ("97.50 %", "97.50 %", "+0.00 points")
    assert values(found, "latency") == ("500 us", "250 us", "0.50x")


def test_layers_are_listed_where_bits_differ(found: RunsReport) -> None:
    assert [row.what for row in found.layers] == ["conv|1", "new"]
    assert values(found, "conv|1") == ("w4a8", "w2a16", "w-2 a+8")
    assert values(found, "new") == ("-", "w8a8", "-")
    assert found.equal_layers == 1


def test_circumstances_are_listed_where_they_differ(found: RunsReport) -> None:
    assert [row.what for row in found.circumstances] == ["seed"]
    assert values(found, "seed") == ("0", "7", "-")


def test_equal_runs_say_so(folder: Folder, report: Report) -> None:
    found = compare_runs([folder("a", report), folder("b", report), folder("c", report)])
    assert (found.layers, found.circumstances, found.equal_layers) == ((), (), 2)
    assert "All 2 layers have the same bits." in runs_markdown(found)
    assert "All 2 layers have the same bits." in runs_html(found)


def test_markdown_escapes_what_would_break_a_table(found: RunsReport) -> None:
    assert "conv\\|1" in runs_markdown(found)


def test_the_page_has_no_charts_and_so_no_scripts_for_them(found: RunsReport) -> None:
    text = runs_html(found)
    assert "conv|1" in text
    assert len(text) < 30_000


def test_a_notebook_shows_the_tables(found: RunsReport) -> None:
    assert found._repr_html_().count("<table>") == 3


def test_one_folder_is_no_comparison(folder: Folder, report: Report) -> None:
    with pytest.raises(UsageError, match="two folders or more"):
        compare_runs([folder("a", report)])


def test_the_folder_of_a_search_is_refused_with_a_hint(
    folder: Folder, report: Report, tmp_path: Path
) -> None:
    (tmp_path / "searched").mkdir()
    (tmp_path / "searched" / "front.json").write_text("{}", encoding="utf-8")
    with pytest.raises(ReportError, match="point-N"):
        compare_runs([folder("a", report), tmp_path / "searched"])
