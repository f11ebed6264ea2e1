"""Bits, costs and expected loss of every layer, along the network."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hwmodels import FLOAT
from qtool.report.charts.figure import (
    ACTS,
    CHOSEN,
    FAINT,
    GOOD,
    WEIGHTS,
    WIDTH,
    Chart,
    Datasets,
    Figure,
    Table,
    finish,
    number_format,
)
from qtool.report.format import cost, plain

if TYPE_CHECKING:
    import altair as alt

    from qtool.report.report import LayerReport, Report

_COSTS = {"latency_s": "time (s)", "energy_j": "energy (J)"}


def layers_figure(report: Report) -> Figure | None:
    """Return the chart of a report; ``None`` where it has no layer with bits."""
    import altair as alt

    rows = [_row(at, layer) for at, layer in enumerate(report.layers)]
    if not any(layer.quantized for layer in report.layers):
        return None
    kept = Datasets()
    data = kept.add(rows)
    panels = [_bits(data, "weight_bits", "weight bits", WEIGHTS), _bits(data, "act_bits", "act. bits", ACTS)]
    panels += [_cost(data, name, title) for name, title in _COSTS.items() if rows[0].get(name) is not None]
    if any(row["loss"] is not None for row in rows):
        panels.append(_bars(data, "loss", "loss", CHOSEN))
    chart = alt.vconcat(*panels).resolve_scale(x="shared")
    label = (
        f"Bits, cost and expected loss of {len(rows)} layers from input to output; the table has the data."
    )
    return Figure("layers", label, finish(chart, kept), _table(report))


def _row(at: int, layer: LayerReport) -> dict[str, Any]:
    bits = {"weight_bits": layer.weight_bits or FLOAT.act_bits, "act_bits": layer.act_bits or FLOAT.act_bits}
    costs = {"latency_s": layer.latency_s, "energy_j": layer.energy_j}
    eight = {"latency_s_8": layer.latency_8bit_s, "energy_j_8": layer.energy_8bit_j}
    words = {name: cost(name, value) for name, value in costs.items()}
    told = {"time": words["latency_s"], "energy": words["energy_j"], "expected loss": plain(layer.loss)}
    head = {"at": at, "layer": layer.name, "op": layer.op, "loss": layer.loss}
    return head | bits | costs | eight | told


def _x(*, last: bool = False) -> alt.X:
    import altair as alt

    title = "layer, from input to output" if last else None
    return alt.X("at:O", title=title, axis=alt.Axis(labels=False, ticks=False, grid=False))


def _tooltip() -> list[alt.Tooltip]:
    import altair as alt

    names = {"layer": "layer", "op": "operator", "weight_bits": "weight bits", "act_bits": "activation bits"}
    told = {"time": "time", "energy": "energy", "expected loss": "expected loss"}
    return [alt.Tooltip(f"{field}:N", title=title) for field, title in (names | told).items()]


def _bits(data: alt.NamedData, field: str, title: str, color: str) -> Chart:
    import altair as alt

    y = alt.Y(f"{field}:Q", title=title, axis=alt.Axis(tickMinStep=1, tickCount=4))
    return _base(data, 64).mark_bar(color=color).encode(x=_x(), y=y, tooltip=_tooltip())


def _cost(data: alt.NamedData, field: str, title: str) -> Chart:
    """Return bars of a cost in front of the same at 8 bits."""
    import altair as alt

    y = alt.Y(f"{field}:Q", title=title, axis=alt.Axis(tickCount=3, format="~s"))
    behind = alt.Y(f"{field}_8:Q", title=title)
    base = _base(data, 64)
    eight = base.mark_bar(color=FAINT).encode(x=_x(), y=behind, tooltip=_tooltip())
    return alt.layer(eight, base.mark_bar(color=GOOD).encode(x=_x(), y=y, tooltip=_tooltip()))


def _bars(data: alt.NamedData, field: str, title: str, color: str) -> Chart:
    import altair as alt

    y = alt.Y(f"{field}:Q", title=title, axis=alt.Axis(tickCount=3, format=number_format()))
    return _base(data, 64).mark_bar(color=color).encode(x=_x(last=True), y=y, tooltip=_tooltip())


def _base(data: alt.NamedData, height: int) -> Chart:
    import altair as alt

    return alt.Chart(data, width=WIDTH, height=height)


def _table(report: Report) -> Table:
    head = (
        "layer",
        "operator",
        "weight bits",
        "activation bits",
        "expected loss",
        "time",
        "energy",
        "weights",
    )
    rows = tuple(
        (
            layer.name,
            layer.op,
            plain(layer.weight_bits or "float"),
            plain(layer.act_bits or "float"),
            plain(layer.loss),
            *(cost(name, getattr(layer, name)) for name in ("latency_s", "energy_j", "weight_bytes")),
        )
        for layer in report.layers
    )
    return Table(head, rows)
