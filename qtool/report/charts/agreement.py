"""How many results of every operator differ between the two forms, and by how many steps."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtool.report.charts.figure import WIDTH, Datasets, Figure, Table, finish
from qtool.report.format import plain, share

if TYPE_CHECKING:
    from qtool.report.report import Report

SHOWN = 40
"""Operators on the chart, those that differ most; the table has all."""
_SHARES = {"lsb_1": "1 step", "lsb_2": "2 steps", "lsb_3_or_more": "3 or more"}


def agreement_figure(report: Report) -> Figure | None:
    """Return bars of the shares that differ; ``None`` where nothing was compared or nothing differs."""
    import altair as alt

    differing = [step for step in report.steps if step.max_lsb > 0]
    if not differing:
        return None
    worst = sorted(differing, key=lambda step: (-step.max_lsb, step.lsb_0))[:SHOWN]
    rows = [
        {
            "operator": step.name,
            "steps": word,
            "share": getattr(step, field),
            "told": share(getattr(step, field)),
        }
        for step in worst
        for field, word in _SHARES.items()
    ]
    colors = ["var(--weights)", "var(--acts)", "var(--chosen)"]
    data = Datasets()
    chart = (
        alt.Chart(data.add(rows), width=WIDTH - 200, height=alt.Step(18))
        .mark_bar()
        .encode(
            x=alt.X("share:Q", title="share of the elements", axis=alt.Axis(format="%", tickCount=5)),
            y=alt.Y("operator:N", title=None, sort=None, axis=alt.Axis(labelLimit=180)),
            color=alt.Color(
                "steps:N", title=None, scale=alt.Scale(domain=list(_SHARES.values()), range=colors)
            ),
            tooltip=["operator:N", "steps:N", alt.Tooltip("told:N", title="share")],
        )
    )
    label = f"Shares of elements that differ, of {len(worst)} operators."
    return Figure("agreement", label, finish(chart, data), steps_table(report))


def steps_table(report: Report) -> Table:
    """Return all comparisons, in graph order."""
    head = ("operator", "kind", "largest, in steps", "equal", "1 step", "2 steps", "3 or more", "elements")
    rows = tuple(
        (
            step.name,
            step.op,
            plain(step.max_lsb),
            *(share(value) for value in (step.lsb_0, step.lsb_1, step.lsb_2, step.lsb_3_or_more)),
            str(step.elements),
        )
        for step in report.steps
    )
    return Table(head, rows)
