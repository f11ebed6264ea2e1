"""The page of a compilation: what report.html says of ``qtool quantize``."""

from __future__ import annotations

from math import isfinite
from pathlib import PurePath
from typing import TYPE_CHECKING

from qtool.report.charts.agreement import agreement_figure, steps_table
from qtool.report.charts.energy import energy_figure
from qtool.report.charts.figure import Figure, Table
from qtool.report.charts.heat import heat_figure
from qtool.report.charts.layers import layers_figure
from qtool.report.charts.plans import estimated_figure
from qtool.report.charts.ranking import ranking_figure
from qtool.report.charts.spent import roofline_figure, spent_figure
from qtool.report.charts.spread import spread_figure
from qtool.report.format import cost, plain, share
from qtool.report.headline import budget_line, headline, precision_counts, tight_accumulator
from qtool.report.outliers import outlier_rows
from qtool.report.page.page import Page, Section, Tile, render
from qtool.report.sensitivity import sensitivity_line

if TYPE_CHECKING:
    from passes.allocation.decision import Decision
    from qtool.report.report import Report

TILES = 6
"""Quantities in large print: the metric in both forms, latency, energy, size and bit operations."""
UNIFORM = (
    "No allocation was solved: every layer has the bits asked for. Give a budget to have bits chosen; of the "
    "point of a search, the page of the search says why."
)


def report_html(report: Report, decision: Decision | None) -> str:
    """Return the text of report.html.

    Args:
        report: as report.json has it.
        decision: as problem.json has it; ``None`` where no allocation was solved.
    """
    sections = (
        _headline(report),
        _layers(report),
        _front(report),
        _sensitivity(report, decision),
        _spent(report),
        _distributions(report),
        _quality(report),
        _floats(report),
        _agreement(report),
        _remarks(report),
        _run(report),
    )
    title = f"{PurePath(report.model.path).name} on {report.target}"
    subtitle = f"{precision_counts(report)}; {share(report.coverage.macs)} of the multiplications on integers"
    return render(Page(title, subtitle, sections))


def _headline(report: Report) -> Section:
    rows = tuple((row.what, row.before, row.uniform, row.after, row.change) for row in headline(report))
    head = ("", "float", "uniform 8 bits", "this plan", "change")
    metric = report.metric
    words = [f"Budget {budget_line(budget)}." for budget in report.budgets]
    words.append(
        f"Measured on {metric.samples} samples." if metric else "Nothing was measured: there was no --eval."
    )
    tiles = tuple(Tile(row.what, row.after, row.change) for row in headline(report)[:TILES])
    return Section("headline", "Before and after", tuple(words), tiles, Table(head, rows))


def _layers(report: Report) -> Section:
    figure = layers_figure(report)
    words = (
        "Every bar is a layer, from input to output. Pale bars behind times and energies are those at 8 "
        "bits. Loss is what the sensitivity expects of the layer at its bits.",
    )
    return _drawn("layers", "Bits along the network", words, figure, "No layer is quantized.")


def _front(report: Report) -> Section:
    words = (
        "Plans by expected loss and cost. The dashed line is the bound of the exact solver: no plan of that "
        "cost or less has a smaller expected loss. A click on a point, or the list, shows its bits.",
    )
    return _drawn("front", "Loss against cost", words, estimated_figure(report), UNIFORM)


def _sensitivity(report: Report, decision: Decision | None) -> Section:
    words = (
        "What each layer is expected to lose at each width, the other side being as wide as can be. Frames "
        "mark the widths of the plan.",
    )
    figure = None if decision is None else heat_figure(decision.problem, decision.pairs)
    return _drawn("sensitivity", "Sensitivity", words, figure, UNIFORM)


def _spent(report: Report) -> Section:
    made = (spent_figure(report), energy_figure(report), roofline_figure(report))
    figures = [figure for figure in made if figure]
    if not figures:
        missing = f"{report.target} estimates neither time nor energy."
        return Section("spent", "Where time and energy go", (missing,))
    words = ["Every stripe is a layer, in the order of the network, coloured by operator."]
    names = [figure.name for figure in figures]
    if "energy" in names:
        words.append(
            "Below, the energy of every layer by what it goes into: arithmetic with what leaks meanwhile, "
            "buffers on the chip, and the memory interface."
        )
    if "roofline" in names:
        words.append(
            "In the roofline, the rising line is the bandwidth of the memory, the level one the highest rate "
            "of arithmetic of any layer; layers below both wait, for narrower arithmetic or to start."
        )
    return Section("spent", "Where time and energy go", tuple(words), figures=tuple(figures))


def _distributions(report: Report) -> Section:
    words = (
        "The layers of which most loss is expected; counts on a logarithmic axis. Dashed lines are the ends "
        "of what the integers express: of weights, in the channel of the widest scale, and grey in that of "
        "the narrowest.",
    )
    missing = "There are no distributions: nothing was quantized, or the report is of an older version."
    return _drawn("distributions", "Values and ranges", words, spread_figure(report), missing)


def _quality(report: Report) -> Section:
    found, title = report.sensitivity_quality, "Predicted against measured loss"
    if found is None:
        return Section("quality", title, ("No sensitivity was used, so that there is nothing to judge.",))
    known = zip(found.predicted, found.measured, strict=False)
    pairs = [(a, b) for a, b in known if a is not None and b is not None and isfinite(a) and isfinite(b)]
    figure = ranking_figure("quality", pairs, "measured noise at the output")
    words = (sensitivity_line(found).replace("`", ""),)
    return Section("quality", title, words, figures=(figure,) if figure else ())


def _floats(report: Report) -> Section:
    layers = [(layer.name, layer.op, plain(layer.reason)) for layer in report.layers if not layer.quantized]
    others = [(node.name, node.op, node.reason) for node in report.unquantized]
    rows = tuple(dict.fromkeys([*layers, *others]))
    if not rows:
        return Section("float", "What stayed float", ("Nothing: every operator runs on integers.",))
    return Section("float", "What stayed float", table=Table(("operator", "kind", "why"), rows))


def _agreement(report: Report) -> Section:
    title, found = "QDQ against packed", report.agreement
    if found is None or not report.steps:
        reasons = [
            line.message for line in report.journal if (line.source, line.subject) == ("lower", "packed")
        ]
        return Section("agreement", title, tuple(reasons) or ("The two forms were not compared.",))
    apart = f"at most {plain(found.qdq_vs_packed_max_lsb)} steps apart"
    state = apart if found.qdq_vs_packed_max_lsb else "equal to the last bit"
    words = [f"On equal inputs, the results of all {len(report.steps)} operators are {state}."]
    if found.top1_agreement is not None:
        words.append(f"End to end, both name the same class on {share(found.top1_agreement)} of the samples.")
    figure = agreement_figure(report)
    if figure is None:
        return Section("agreement", title, tuple(words), folded=steps_table(report))
    return Section("agreement", title, tuple(words), figures=(figure,))


def _remarks(report: Report) -> Section:
    words = [f"{line.source}, {line.subject}: {line.message}" for line in report.journal]
    tight = tight_accumulator(report)
    if tight:
        words.append(f"No sum can overflow, but {tight}.")
    rows = tuple(tuple(plain(cell) for cell in row) for row in outlier_rows(report.outliers))
    table = Table(("tensor", "largest", "nearly all below", "ratio", "what helps"), rows) if rows else None
    if table:
        words.append("A few values dominate the ranges of these tensors.")
    return Section("remarks", "Remarks", tuple(words) or ("None.",), table=table)


def _run(report: Report) -> Section:
    rows = [
        ("model", report.model.path),
        ("sha256", report.model.sha256),
        ("target", report.target),
        ("solver", report.solver),
        ("seed", str(report.seed)),
        ("pipeline", report.pipeline or "none"),
        ("time", f"{report.time_s.total:.1f} s"),
        ("peak memory of the run", cost("peak_memory_bytes", report.peak_rss_bytes)),
        ("qtool", report.qtool),
        *report.versions.items(),
    ]
    return Section("run", "Run", table=Table(("", "value"), tuple(rows)))


def _drawn(name: str, title: str, words: tuple[str, ...], figure: Figure | None, missing: str) -> Section:
    if figure is None:
        return Section(name, title, (missing,))
    return Section(name, title, words, figures=(figure,))
