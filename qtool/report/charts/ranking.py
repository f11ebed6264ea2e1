"""Predicted against measured loss."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtool.report.charts.figure import WEIGHTS, WIDTH, Figure, Table, finish
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
    axes = {}
    for at, side in enumerate(("predicted", "measured")):
        positive = all(pair[at] > 0 for pair in pairs)
        axes[side] = alt.Scale(type="log" if positive else "linear", zero=False, padding=10)
    axis = alt.Axis(format="~g", tickCount=5)
    tooltip = [alt.Tooltip(f"{side}:Q", format=".4g") for side in axes]
    chart = (
        alt.Chart(alt.InlineData(values=rows), width=WIDTH, height=260)
        .mark_circle(size=60, color=WEIGHTS, opacity=0.8)
        .encode(
            x=alt.X("predicted:Q", title="expected loss", scale=axes["predicted"], axis=axis),
            y=alt.Y("measured:Q", title=measured, scale=axes["measured"], axis=axis),
            tooltip=tooltip,
        )
    )
    label = f"{measured} against expected loss of {len(pairs)} plans."
    table = Table(("expected loss", measured), tuple((plain(a), plain(b)) for a, b in pairs))
    return Figure(name, label, finish(chart), table)
