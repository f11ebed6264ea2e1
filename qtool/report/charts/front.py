"""Loss against cost: the plan, uniform plans, the best there is, the bound, and the bits of a point."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from qtool.report.charts.figure import (
    ACTS,
    CHOSEN,
    INK,
    MUTED,
    WEIGHTS,
    WIDTH,
    Chart,
    Datasets,
    Figure,
    Table,
    finish,
    fitted_scale,
    number_format,
)
from qtool.report.format import NOTHING, cost_or_number, plain

if TYPE_CHECKING:
    from collections.abc import Sequence

    import altair as alt


PICKED = "picked"
"""Name of the selection: the point whose plan is shown."""
KINDS = {
    "measured": ("measured", "circle", MUTED),
    "uniform": ("uniform", "diamond", ACTS),
    "front": ("front", "circle", WEIGHTS),
    "plan": ("chosen", "square", CHOSEN),
}
"""By kind of point: its word in the legend, its shape and its colour; later ones lie on top."""


@dataclass(frozen=True, slots=True)
class Dot:
    """One plan on the chart.

    Attributes:
        name: unique among those that can be picked.
        kind: a key of `KINDS`.
        cost: on the horizontal axis.
        loss: on the vertical axis.
        bound: least loss of any plan of at most this cost; ``None`` where it is not known.
        weight_bits: by layer; empty where the plan is not shown.
        act_bits: likewise.
    """

    name: str
    kind: str
    cost: float
    loss: float
    bound: float | None = None
    weight_bits: tuple[int, ...] = ()
    act_bits: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Axes:
    """What a front is drawn over: the metric of the cost, the word for the loss, and names of layers.

    Losses may span powers of ten (``logarithmic``), or be shares from 0 to 1 (``shares``).
    """

    metric: str
    loss: str
    layers: tuple[str, ...]
    logarithmic: bool = False
    shares: bool = False


def front_figure(name: str, dots: Sequence[Dot], axes: Axes) -> Figure:
    """Return a chart of plans; where some can be picked, the bits of the picked one are shown below."""
    import altair as alt

    pickable = [dot for dot in dots if dot.weight_bits]
    data = Datasets()
    views: list[Any] = [_points(data, dots, axes, pickable)]
    if pickable:
        views += [_bits(data, pickable, axes, side) for side in ("weight bits", "activation bits")]
    label = f"{axes.loss} against {cost_title(axes.metric)} of {len(dots)} plans; the table has the data."
    return Figure(name, label, finish(alt.vconcat(*views), data), _table(dots, axes))


def cost_title(metric: str) -> str:
    """Return the title of an axis, such as ``latency (s)``."""
    words = {"latency_s": "latency (s)", "energy_j": "energy (J)", "weight_bytes": "weights (bytes)"}
    return words.get(metric, metric.replace("_", " "))


def _points(data: Datasets, dots: Sequence[Dot], axes: Axes, pickable: Sequence[Dot]) -> Chart:
    """Return the plans as dots, with the line of the front and the bound below it."""
    import altair as alt

    order = list(KINDS)
    rows = [_row(dot, axes) for dot in sorted(dots, key=lambda dot: order.index(dot.kind))]
    base = alt.Chart(data.add(rows), width=WIDTH, height=300).encode(**_scales(axes))
    joined = [KINDS[kind][0] for kind in ("front", "plan")]
    line = base.transform_filter(f"indexof({joined}, datum.kind) >= 0")
    layers: list[Any] = [line.mark_line(interpolate="step-after", color=WEIGHTS, opacity=0.5)]
    if any(dot.bound is not None for dot in dots):
        bound = base.transform_filter("isValid(datum.bound)").encode(y=alt.Y("bound:Q"))
        # Between two plans the bound is that of the dearer one: what costs less than it loses no less.
        layers.append(bound.mark_line(strokeDash=[5, 4], color=INK, interpolate="step-before"))
    marks = base.mark_point(filled=True, opacity=1).encode(**_looks(dots), tooltip=_tooltip(axes))
    if not pickable:
        return alt.layer(*layers, marks.encode(size=alt.value(50)))
    picked = _selection(pickable)
    size = alt.condition(picked, alt.value(190), alt.value(60))
    return alt.layer(*layers, marks.encode(size=size).add_params(picked))


def _scales(axes: Axes) -> dict[str, Any]:
    import altair as alt

    numbers = "~%" if axes.shares else number_format(logarithmic=axes.logarithmic)
    x_axis, y_axis = alt.Axis(format="~s", tickCount=6), alt.Axis(format=numbers, tickCount=5)
    y_scale = fitted_scale(logarithmic=axes.logarithmic)
    return {
        "x": alt.X("cost:Q", title=cost_title(axes.metric), scale=fitted_scale(), axis=x_axis),
        "y": alt.Y("loss:Q", title=axes.loss, scale=y_scale, axis=y_axis),
    }


def _looks(dots: Sequence[Dot]) -> dict[str, Any]:
    """Return the shapes and colours of the kinds that there are."""
    import altair as alt

    found = {dot.kind for dot in dots}
    words, shapes, colors = zip(*(look for kind, look in KINDS.items() if kind in found), strict=True)
    scales = {"shape": alt.Scale(domain=words, range=shapes), "color": alt.Scale(domain=words, range=colors)}
    return {
        "shape": alt.Shape("kind:N", title=None, scale=scales["shape"]),
        "color": alt.Color("kind:N", title=None, scale=scales["color"]),
    }


def _tooltip(axes: Axes) -> list[alt.Tooltip]:
    import altair as alt

    told = {"plan": "plan", "cost_told": _word(axes.metric), "loss_told": axes.loss, "bound_told": "bound"}
    return [alt.Tooltip(f"{field}:N", title=title) for field, title in told.items()]


def _word(metric: str) -> str:
    return cost_title(metric).split(" (")[0]


def _selection(pickable: Sequence[Dot]) -> alt.Parameter:
    import altair as alt

    names = [dot.name for dot in pickable]
    chosen = next((dot.name for dot in pickable if dot.kind == "plan"), names[0])
    select = alt.binding_select(options=names, name="Show the plan of: ")
    return alt.selection_point(
        name=PICKED,
        fields=["plan"],
        on="click",
        clear=False,
        bind=select,
        value=[{"plan": chosen}],
        nearest=False,
    )


def _row(dot: Dot, axes: Axes) -> dict[str, Any]:
    told = {"cost_told": cost_or_number(axes.metric, dot.cost), "loss_told": plain(dot.loss)}
    bound = NOTHING if dot.bound is None else plain(dot.bound)
    base = {"plan": dot.name, "kind": KINDS[dot.kind][0], "cost": dot.cost, "loss": dot.loss}
    return base | {"bound": dot.bound, "bound_told": bound} | told


def _bits(data: Datasets, pickable: Sequence[Dot], axes: Axes, side: str) -> Chart:
    import altair as alt

    field, color = ("weight_bits", WEIGHTS) if side == "weight bits" else ("act_bits", ACTS)
    rows = [
        {"plan": dot.name, "bits": list(getattr(dot, field)), "at": list(range(len(axes.layers)))}
        for dot in pickable
    ]
    last = side == "activation bits"
    title = "layer, from input to output" if last else None
    most = max(bits for dot in pickable for bits in getattr(dot, field))
    x = alt.X("at:O", title=title, axis=alt.Axis(labels=False, ticks=False))
    y = alt.Y(
        "bits:Q", title=side, scale=alt.Scale(domain=[0, most]), axis=alt.Axis(tickMinStep=1, tickCount=4)
    )
    names = [{"at": at, "layer": layer} for at, layer in enumerate(axes.layers)]
    tooltip = [alt.Tooltip("plan:N"), alt.Tooltip("layer:N"), alt.Tooltip("bits:Q", title=side)]
    return (
        alt.Chart(data.add(rows), width=WIDTH, height=64)
        .transform_filter({"param": PICKED})
        .transform_flatten(["bits", "at"])
        .transform_lookup("at", alt.LookupData(data.add(names), "at", ["layer"]))
        .mark_bar(color=color)
        .encode(x=x, y=y, tooltip=tooltip)
    )


def _table(dots: Sequence[Dot], axes: Axes) -> Table:
    head = ("plan", "kind", _word(axes.metric), axes.loss, "bound", "bits")
    rows = tuple(
        (
            dot.name or NOTHING,
            KINDS[dot.kind][0],
            cost_or_number(axes.metric, dot.cost),
            plain(dot.loss),
            NOTHING if dot.bound is None else plain(dot.bound),
            " ".join(f"w{weight}a{act}" for weight, act in zip(dot.weight_bits, dot.act_bits, strict=False))
            or NOTHING,
        )
        for dot in dots
    )
    return Table(head, rows)
