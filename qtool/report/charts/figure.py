"""`Figure`: a chart, the words under it, and the same data as a table for those who do not see it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    import altair as alt

Chart: TypeAlias = Any
"""A chart of Altair, whose methods are typed as returning more kinds than they do."""
WIDTH = 760
"""Pixels that charts are drawn for; the page scales them to the width of the window."""

INK, MUTED, LINE = "var(--ink)", "var(--muted)", "var(--line)"
"""Colours by name: the style of the page gives them values for light, dark and print."""
WEIGHTS, ACTS, GOOD, CHOSEN, FAINT = (
    "var(--weights)",
    "var(--acts)",
    "var(--good)",
    "var(--chosen)",
    "var(--faint)",
)


@dataclass(frozen=True, slots=True)
class Table:
    """Rows under a head; every cell is text."""

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class Figure:
    """A chart.

    Attributes:
        name: unique on the page, of letters and hyphens.
        label: what a screen reader says instead of the chart.
        spec: Vega-Lite.
        table: the data.
    """

    name: str
    label: str
    spec: dict[str, Any]
    table: Table


def fitted_scale(*, logarithmic: bool = False) -> alt.Scale:
    """Return the scale of an axis that begins where the data do, with some room around them."""
    import altair as alt

    if logarithmic:
        return alt.Scale(type="log", nice=False, padding=12)
    return alt.Scale(zero=False, nice=False, padding=12)


def number_format(*, logarithmic: bool = False) -> str:
    """Return how numbers without a unit stand at an axis: powers of ten have no steps to take digits from."""
    return "~g" if logarithmic else "~f"


class Datasets:
    """The rows that a chart shows, by name: the chart itself is copied often while it is put together."""

    def __init__(self) -> None:
        """Start without rows."""
        self.rows: dict[str, list[dict[str, Any]]] = {}

    def add(self, rows: list[dict[str, Any]]) -> alt.NamedData:
        """Keep rows, and return what a chart refers to them by."""
        import altair as alt

        name = f"rows-{len(self.rows)}"
        self.rows[name] = rows
        return alt.NamedData(name=name)


def finish(chart: Chart, data: Datasets) -> dict[str, Any]:
    """Return the specification of a chart in the style of the page; equal charts give equal ones.

    Altair's check against its schema takes most of the time, and the tests make it.
    """
    axis = {
        "domainColor": LINE,
        "tickColor": LINE,
        "gridColor": LINE,
        "labelColor": INK,
        "titleColor": INK,
        "gridOpacity": 0.6,
    }
    text = {"labelColor": INK, "titleColor": INK, "labelFontSize": 12, "titleFontSize": 12}
    styled = chart.configure(
        background="transparent",
        font="system-ui, sans-serif",
        axis=axis | {"labelFontSize": 12, "titleFontSize": 12, "titleFontWeight": "normal"},
        legend=text | {"titleFontWeight": "normal", "orient": "top"},
        header={"labelColor": INK, "labelFontSize": 12, "labelAnchor": "start"},
        view={"stroke": None},
        concat={"spacing": 14},
    )
    spec: dict[str, Any] = styled.to_dict(validate=False)
    del spec["$schema"]
    return spec | {"datasets": data.rows}
