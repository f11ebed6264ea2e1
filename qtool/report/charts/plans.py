"""Which plans the charts of fronts show: those around a compilation, and those of a search."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtool.report.charts.front import Axes, Dot, front_figure
from qtool.report.format import SHARES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qtool.report.charts.figure import Figure
    from qtool.report.report import Report
    from qtool.report.search import SearchPoint, SearchReport


def estimated_figure(report: Report) -> Figure | None:
    """Return the front around the plan of a compilation, by what is expected of plans."""
    front = report.front
    if front is None:
        return None
    kinds = {"plan": "plan", "uniform": "uniform", "optimal": "front"}
    dots = [
        Dot(it.name, kinds.get(it.kind, "front"), it.cost, it.loss, it.bound, it.weight_bits, it.act_bits)
        for it in front.points
    ]
    axes = Axes(front.metric, "expected loss", front.layers, _logarithmic(dots))
    return front_figure("front", dots, axes)


def measured_figure(search: SearchReport) -> Figure | None:
    """Return the front of a search, by what was measured."""
    metric, points = _front_of(search)
    if not points:
        return None
    others = ((it, kind) for kind in ("measured", "uniform") for it in getattr(search, kind))
    dots = [
        Dot(it.name, kind, it.cost[metric], it.loss)
        for it, kind in others
        if it.loss is not None and metric in it.cost
    ]
    for it in points:
        kind = "plan" if it.index == search.knee else "front"
        bits = tuple(layer.weight_bits for layer in it.layers), tuple(layer.act_bits for layer in it.layers)
        dots.append(Dot(f"point {it.index}", kind, it.cost[metric], it.loss, None, *bits))
    layers = tuple(layer.name for layer in points[0].layers)
    loss, shares = f"measured loss of {search.metric.name}", search.metric.name in SHARES
    return front_figure("front", dots, Axes(metric, loss, layers, shares=shares))


def expected_figure(search: SearchReport) -> Figure | None:
    """Return the same plans by what was expected of them, with the bound of the exact solver."""
    metric, points = _front_of(search)
    if not points:
        return None
    others = ((it, kind) for kind in ("measured", "uniform") for it in getattr(search, kind))
    dots = [Dot(it.name, kind, it.cost[metric], it.estimate) for it, kind in others if metric in it.cost]
    for it in points:
        kind = "plan" if it.index == search.knee else "front"
        dots.append(Dot(f"point {it.index}", kind, it.cost[metric], it.estimate, it.estimate_bound))
    return front_figure("estimates", dots, Axes(metric, "expected loss", (), _logarithmic(dots)))


def _front_of(search: SearchReport) -> tuple[str, list[SearchPoint]]:
    """Return the first cost among the objectives, and the points of the front that have one."""
    metric = next(iter(search.objectives[1:]), "")
    return metric, [point for point in search.front if metric in point.cost]


def _logarithmic(dots: Sequence[Dot]) -> bool:
    """Small losses are what a front is about, and the narrowest plan flattens them on a linear axis."""
    return all(dot.loss > 0 and (dot.bound is None or dot.bound > 0) for dot in dots)
