"""The page of a search: what report.html says of ``qtool search``."""

from __future__ import annotations

from collections import Counter
from pathlib import PurePath
from typing import TYPE_CHECKING

from passes.analysis.quality import rank_correlation
from qtool.report.charts.figure import Table
from qtool.report.charts.heat import heat_figure
from qtool.report.charts.plans import expected_figure, measured_figure
from qtool.report.charts.ranking import ranking_figure
from qtool.report.format import NOTHING, cost_or_number, plain, task
from qtool.report.headline import metric_word
from qtool.report.page.page import Page, Section, Tile, render

if TYPE_CHECKING:
    from passes.allocation.problem import AllocationProblem
    from qtool.report.search import SearchPoint, SearchReport


def search_html(search: SearchReport, problem: AllocationProblem | None) -> str:
    """Return the text of report.html of a search.

    Args:
        search: as front.json has it.
        problem: as problem.json has it; ``None`` where there is none.
    """
    sections = (
        _headline(search),
        _front(search),
        _expected(search),
        _quality(search),
        _sensitivity(search, problem),
        _run(search),
    )
    title = f"{PurePath(search.model.path).name} on {search.target}: a search"
    subtitle = f"{len(search.front)} plans on the front of {search.evaluations} that were measured"
    return render(Page(title, subtitle, sections))


def _headline(search: SearchReport) -> Section:
    metric, names = search.metric, search.objectives[1:]
    head = ("point", metric.name, "loss", *(metric_word(name) for name in names), "layers")
    rows = tuple(
        (
            f"{it.index}{', the knee' if it.index == search.knee else ''}",
            task(metric.name, it.value),
            plain(it.loss),
            *(cost_or_number(name, it.cost.get(name)) for name in names),
            _counts(it),
        )
        for it in search.front
    )
    tiles = [Tile(f"{metric.name} of the float model", task(metric.name, metric.float), "")]
    for it in search.front:
        if it.index == search.knee:
            tiles.append(Tile(f"{metric.name} at the knee", task(metric.name, it.value), ""))
            tiles += [Tile(metric_word(name), cost_or_number(name, it.cost.get(name)), "") for name in names]
    words = (
        f"Measured on {metric.samples} samples. The knee is the point nearest to the best of everything; "
        "qtool search with --select N or --knee, and otherwise the same words, lowers a point.",
    )
    if not rows:
        return Section("headline", "The front", ("No plan was measured on all samples within the budgets.",))
    return Section("headline", "The front", words, tuple(tiles), Table(head, rows))


def _counts(point: SearchPoint) -> str:
    pairs = Counter((layer.weight_bits, layer.act_bits) for layer in point.layers)
    return ", ".join(f"{count} x w{weight}a{act}" for (weight, act), count in sorted(pairs.items()))


def _front(search: SearchReport) -> Section:
    figure, title = measured_figure(search), "Measured loss against cost"
    words = (
        "Every plan that was measured on all samples. A click on a point of the front, or the list, shows "
        "its bits.",
    )
    if figure is None:
        return Section("front", title, ("The front is empty.",))
    return Section("front", title, words, figures=(figure,))


def _expected(search: SearchReport) -> Section:
    figure, title = expected_figure(search), "Expected loss against cost"
    words = (
        "The same plans by the loss that the sensitivities expect. The dashed line is the bound of the exact "
        "solver: no plan that costs as little as a point of the front has a smaller expected loss.",
    )
    if figure is None:
        return Section("expected", title, ("The front is empty.",))
    return Section("expected", title, words, figures=(figure,))


def _quality(search: SearchReport) -> Section:
    title = "Predicted against measured loss"
    pairs = [(it.estimate, it.loss) for it in search.measured if it.loss is not None]
    figure = ranking_figure("quality", pairs, f"measured loss of {search.metric.name}")
    if figure is None:
        return Section("quality", title, ("Too few plans were measured.",))
    found = rank_correlation([pair[0] for pair in pairs], [pair[1] for pair in pairs])
    rank = f"a rank correlation of {found.spearman:.2f}"
    words = (f"Over {len(pairs)} plans, expected and measured losses have {rank}.",)
    return Section("quality", title, words, figures=(figure,))


def _sensitivity(search: SearchReport, problem: AllocationProblem | None) -> Section:
    title = "Sensitivity"
    if problem is None:
        return Section(
            "sensitivity", title, ("problem.json, which has the losses of every choice, is missing.",)
        )
    chosen = next((it for it in search.front if it.index == search.knee), None)
    taken = {it.name: (it.weight_bits, it.act_bits) for it in chosen.layers} if chosen else {}
    words = ("What each layer is expected to lose at each width. Frames mark the plan of the knee.",)
    return Section("sensitivity", title, words, figures=(heat_figure(problem, taken),))


def _run(search: SearchReport) -> Section:
    budgets = (f"{metric_word(it.metric)} {cost_or_number(it.metric, it.limit)}" for it in search.budgets)
    rows = (
        ("model", search.model.path),
        ("sha256", search.model.sha256),
        ("target", search.target),
        ("solver", search.solver),
        ("seed", str(search.seed)),
        ("objectives", ", ".join(search.objectives)),
        ("budgets", ", ".join(budgets) or NOTHING),
        ("plans measured", str(search.evaluations)),
        ("plans that could not be", str(search.failed)),
        ("ended by", search.stopped),
        ("hypervolume", plain(search.hypervolume)),
        ("qtool", search.qtool),
        *search.versions.items(),
    )
    return Section("run", "Run", table=Table(("", "value"), rows))
