"""Distributions of weights and activations, with the ranges that their integers express."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtool.report.charts.figure import (
    ACTS,
    CHOSEN,
    MUTED,
    WEIGHTS,
    WIDTH,
    Chart,
    Figure,
    Table,
    finish,
    number_format,
)
from qtool.report.format import plain, share

if TYPE_CHECKING:
    from qtool.report.distributions import DistributionReport
    from qtool.report.report import Report

_WORDS = {"weight": "weights", "act": "activations"}


def spread_figure(report: Report) -> Figure | None:
    """Return a small chart for every tensor, two in a row; ``None`` where there are none."""
    import altair as alt

    if not report.distributions:
        return None
    cells = [_cell(entry) for entry in report.distributions]
    chart = alt.concat(*cells, columns=2).resolve_scale(x="independent", y="independent")
    label = f"Distributions of {len(cells)} tensors of the layers of which most loss is expected."
    return Figure("distributions", label, finish(chart), _table(report))


def _cell(entry: DistributionReport) -> Chart:
    import altair as alt

    rows = [
        {"from": entry.start + at * entry.width, "to": entry.start + (at + 1) * entry.width, "count": count}
        for at, count in enumerate(entry.counts)
        if count
    ]
    x = alt.X(
        "from:Q", title=None, scale=alt.Scale(zero=False), axis=alt.Axis(format=number_format(), tickCount=5)
    )
    y = alt.Y(
        "count:Q",
        title=None,
        scale=alt.Scale(type="symlog"),
        axis=alt.Axis(labels=False, ticks=False, grid=False),
    )
    tooltip = [
        alt.Tooltip("from:Q", format=".4g"),
        alt.Tooltip("to:Q", format=".4g"),
        alt.Tooltip("count:Q", title="values"),
    ]
    color = WEIGHTS if entry.role == "weight" else ACTS
    bars = alt.Chart(alt.InlineData(values=rows)).mark_bar(color=color)
    title = alt.TitleParams(f"{entry.bits}-bit {_WORDS[entry.role]}: {entry.layer}", limit=WIDTH // 2 - 20)
    ground = alt.Y2Datum(0)
    layers = [
        bars.encode(x=x, x2="to:Q", y=y, y2=ground, tooltip=tooltip),
        _rules((entry.low, entry.high), CHOSEN),
    ]
    if (entry.narrow_low, entry.narrow_high) != (entry.low, entry.high):
        layers.append(_rules((entry.narrow_low, entry.narrow_high), MUTED))
    return alt.layer(*layers, title=title, width=WIDTH // 2 - 5, height=90)


def _rules(ends: tuple[float, float], color: str) -> Chart:
    import altair as alt

    rows = [{"end": ends[0]}, {"end": ends[1]}]
    tooltip = alt.Tooltip("end:Q", title="end of the range", format=".4g")
    rules = alt.Chart(alt.InlineData(values=rows)).mark_rule(color=color, strokeWidth=1.5, strokeDash=[4, 2])
    return rules.encode(x=alt.X("end:Q", title=None), tooltip=tooltip)


def _table(report: Report) -> Table:
    head = ("layer", "tensor", "kind", "bits", "values from", "to", "range from", "to", "outside the range")
    return Table(head, tuple(_line(entry) for entry in report.distributions))


def _line(entry: DistributionReport) -> tuple[str, ...]:
    last = entry.start + len(entry.counts) * entry.width
    ends = [plain(value) for value in (entry.start, last, entry.low, entry.high)]
    return (entry.layer, entry.tensor, _WORDS[entry.role], str(entry.bits), *ends, share(_outside(entry)))


def _outside(entry: DistributionReport) -> float:
    """Return the share of the values in bins whose middle no integer of the widest range is near."""
    middles = ((entry.start + (at + 0.5) * entry.width, count) for at, count in enumerate(entry.counts))
    out = sum(count for middle, count in middles if not entry.low <= middle <= entry.high)
    return out / max(sum(entry.counts), 1)
