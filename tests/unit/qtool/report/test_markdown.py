"""report.md and its headline."""

from __future__ import annotations

from dataclasses import replace

import pytest

from qtool.report.headline import budget_line, headline, precision_counts
from qtool.report.markdown import markdown_table, report_markdown
from qtool.report.outliers import OutlierReport
from qtool.report.report import AccumulatorReport, BudgetReport, MetricReport, Report


def test_the_headline_compares_before_and_after(report: Report) -> None:
    rows = {row.what: (row.before, row.uniform, row.after, row.change) for row in headline(report)}
    assert rows == {
        "top1": ("99.00 %", "-", "98.00 %", "-1.00 points"),
        "top1, packed": ("99.00 %", "-", "97.50 %", "-1.50 points"),
        "latency": ("-", "1 ms", "500 us", "0.50x"),
        "weights": ("-", "2 kB", "1 kB", "0.50x"),
        "bops": ("-", "8 M", "2 M", "0.25x"),
    }


def test_the_headline_leaves_out_what_was_not_measured(report: Report) -> None:
    assert [row.what for row in headline(replace(report, metric=None))] == ["latency", "weights", "bops"]
    unpacked = replace(report, metric=MetricReport("sqnr", 8, None, 31.0))
    assert [(row.what, row.change) for row in headline(unpacked)][:2] == [("sqnr", "-"), ("latency", "0.50x")]


def test_budgets_say_whether_they_were_met() -> None:
    assert (
        budget_line(BudgetReport("weight_bytes", 2000.0, 1500.0, met=True)) == "weights: 1.5 kB of 2 kB, met"
    )
    assert budget_line(BudgetReport("bops", 1.0, None, met=False)).endswith("- of 1, NOT met")


def test_precisions_are_counted(report: Report) -> None:
    assert precision_counts(report) == "1 x w4a8, 1 x float"
    assert precision_counts(replace(report, layers=())) == "none"


def test_every_section_is_written(report: Report) -> None:
    text = report_markdown(report)
    titles = [line for line in text.splitlines() if line.startswith("#")]
    assert titles == [
        "# net.onnx on bitfusion",
        "## Budgets",
        "## Layers",
        "## What stays float",
        "## Agreement",
        "## Remarks",
        "## Run",
    ]
    assert "| fc | Gemm | its bias is computed at run time |" in text
    assert "| softmax | Softmax | Softmax has no integer form |" in text
    assert "Measured on 450 samples." in text


def test_empty_sections_are_left_out(report: Report) -> None:
    bare = replace(
        report, metric=None, budgets=(), layers=(), agreement=None, unquantized=(), journal=(), pipeline=""
    )
    titles = [line for line in report_markdown(bare).splitlines() if line.startswith("#")]
    assert titles == ["# net.onnx on bitfusion", "## Run"]


def test_columns_of_metrics_without_an_estimate_are_left_out(report: Report) -> None:
    head = next(line for line in report_markdown(report).splitlines() if line.startswith("| layer"))
    assert head == "| layer | operator | weights | activations | loss | latency | weight bytes |"


def test_names_cannot_break_a_table() -> None:
    table = markdown_table(("a", "b"), [("x|y\nz", None), ("back\\slash", 2)])
    assert table.splitlines() == ["| a | b |", "| --- | --- |", "| x\\|y z | - |", "| back\\\\slash | 2 |"]


@pytest.mark.parametrize(("needed", "shown"), [(30, False), (31, True), (32, True)])
def test_sums_that_hardly_fit_are_told(report: Report, needed: int, shown: bool) -> None:
    sums = (AccumulatorReport("conv|1", "Conv", 3, needed, 32), AccumulatorReport("fc", "Gemm", 0, 40, 64))
    text = report_markdown(replace(report, accumulators=sums))
    assert (f"No sum can overflow, but conv|1 needs {needed} of 32 bits." in text) is shown


def test_ranges_that_few_values_dominate_are_listed_with_advice(report: Report) -> None:
    entries = [OutlierReport(f"t{index}", "act", None, None, 50.0, 1.0, 50.0, "clip") for index in range(11)]
    entries[1] = OutlierReport("w", "weight", 3, 2, 9.0, 1.5, 6.0, "split")
    text = report_markdown(replace(report, outliers=tuple(entries)))
    assert "| t0 | 50 | 1 | 50.0 | clip |" in text
    assert "| w, channel 3 | 9 | 1.5 | 6.0 | split |" in text
    assert "t10" not in text
    assert "1 more are in report.json." in text
    assert "few values" not in report_markdown(report)
