"""Predicted against measured loss."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtool.report.charts.figure import (
    WEIGHTS,
    WIDTH,
    Datasets,
    Figure,
    Table,
    finish,
    fitted_scale,
    number_format,
)
from qtool.report.format import plain

if TYPE_CHECKING:
    from collections.abc import Sequence


def ranking_figure(name: str, pairs: Sequence[tuple[float, float]], measured: str) -> Figure | None:
    """Return a scatter plot; ``None`` for fewer than two pairs.

    Args:
        name: of the figure.
        pairs: (predicted, measured) by plan.
        measured: title of the vertical axis.
    """
    import altair as alt

    if len(pairs) < 2:
        return None
    rows = [{"predicted": predicted, "measured": found} for predicted, found in pairs]
    scales, axes = {}, {}
    for at, side in enumerate(("predicted", "measured")):
        positive = all(pair[at] > 0 for pair in pairs)
        scales[side] = fitted_scale(logarithmic=positive)
        axes[side] = alt.Axis(format=number_format(logarithmic=positive), tickCount=5)
    tooltip = [alt.Tooltip(f"{side}:Q", format=".4g") for side in axes]
    data = Datasets()
    chart = (
        alt.Chart(data.add(rows), width=WIDTH, height=260)
        .mark_circle(size=60, color=WEIGHTS, opacity=0.8)
        .encode(
            x=alt.X("predicted:Q", title="expected loss", scale=scales["predicted"], axis=axes["predicted"]),
            y=alt.Y("measured:Q", title=measured, scale=scales["measured"], axis=axes["measured"]),
            tooltip=tooltip,
        )
    )
    label = f"{measured} against expected loss of {len(pairs)} plans."
    table = Table(("expected loss", measured), tuple((plain(a), plain(b)) for a, b in pairs))
    return Figure(name, label, finish(chart, data), table)
