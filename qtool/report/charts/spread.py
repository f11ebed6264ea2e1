"""Distributions of weights and activations, with the ranges that their integers express."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtool.report.charts.figure import (
    ACTS,
    CHOSEN,
    MUTED,
    WEIGHTS,
    WIDTH,
    Chart,
    Datasets,
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
    data = Datasets()
    rows = [row for at, entry in enumerate(report.distributions) for row in _rows(at, entry)]
    titles = list(dict.fromkeys(row["tensor"] for row in rows))
    facet = alt.Facet("tensor:N", title=None, sort=titles, header=alt.Header(labelLimit=WIDTH // 2 - 20))
    cells = alt.layer(_bars(), _ends("narrowest", MUTED), _ends("widest", CHOSEN), data=data.add(rows))
    sized = cells.properties(width=WIDTH // 2 - 5, height=90)
    chart = sized.facet(facet, columns=2).resolve_scale(x="independent", y="independent")
    label = f"Distributions of {len(titles)} tensors of the layers of which most loss is expected."
    return Figure("distributions", label, finish(chart, data), _table(report))


def _rows(at: int, entry: DistributionReport) -> list[dict[str, Any]]:
    """Return the bins of one tensor that hold values, and the ends of its ranges."""
    words = f"{entry.bits}-bit {_WORDS.get(entry.role, entry.role)}: {entry.layer}"
    # Blanks at the end keep tensors of one layer apart, and are not seen.
    tensor = {"tensor": words + " " * at, "role": _WORDS.get(entry.role, entry.role)}
    rows: list[dict[str, Any]] = [
        tensor
        | {
            "from": entry.start + bin_ * entry.width,
            "to": entry.start + (bin_ + 1) * entry.width,
            "count": count,
        }
        for bin_, count in enumerate(entry.counts)
        if count
    ]
    rows += [tensor | {"end": end, "of": "widest"} for end in (entry.low, entry.high)]
    narrow = (entry.narrow_low, entry.narrow_high)
    return rows + [tensor | {"end": end, "of": "narrowest"} for end in narrow]


def _bars() -> Chart:
    import altair as alt

    x = alt.X(
        "from:Q", title=None, scale=alt.Scale(zero=False), axis=alt.Axis(format=number_format(), tickCount=5)
    )
    axis = alt.Axis(labels=False, ticks=False, grid=False)
    y = alt.Y("count:Q", title=None, scale=alt.Scale(type="symlog"), axis=axis)
    colors = alt.Scale(domain=list(_WORDS.values()), range=[WEIGHTS, ACTS])
    tooltip = [
        alt.Tooltip("from:Q", format=".4g"),
        alt.Tooltip("to:Q", format=".4g"),
        alt.Tooltip("count:Q", title="values"),
    ]
    bars = alt.Chart().transform_filter("isValid(datum.count)").mark_bar()
    color = alt.Color("role:N", title=None, scale=colors)
    return bars.encode(x=x, x2="to:Q", y=y, y2=alt.Y2Datum(0), color=color, tooltip=tooltip)


def _ends(of: str, color: str) -> Chart:
    import altair as alt

    rules = alt.Chart().transform_filter(f"datum.of == '{of}'")
    tooltip = alt.Tooltip("end:Q", title=f"end of the {of} range", format=".4g")
    marks = rules.mark_rule(color=color, strokeWidth=1.5, strokeDash=[4, 2])
    return marks.encode(x=alt.X("end:Q", title=None), tooltip=tooltip)


def _table(report: Report) -> Table:
    head = ("layer", "tensor", "kind", "bits", "values from", "to", "range from", "to", "outside the range")
    return Table(head, tuple(_line(entry) for entry in report.distributions))


def _line(entry: DistributionReport) -> tuple[str, ...]:
    last = entry.start + len(entry.counts) * entry.width
    ends = [plain(value) for value in (entry.start, last, entry.low, entry.high)]
    return (
        entry.layer,
        entry.tensor,
        _WORDS.get(entry.role, entry.role),
        str(entry.bits),
        *ends,
        share(_outside(entry)),
    )


def _outside(entry: DistributionReport) -> float:
    """Return the share of the values in bins whose middle no integer of the widest range is near."""
    middles = ((entry.start + (at + 0.5) * entry.width, count) for at, count in enumerate(entry.counts))
    out = sum(count for middle, count in middles if not entry.low <= middle <= entry.high)
    return out / max(sum(entry.counts), 1)
