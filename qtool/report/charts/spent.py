"""Where time and energy go, and what bounds the layers."""

from __future__ import annotations

from math import fsum
from typing import TYPE_CHECKING, Any

from qtool.report.charts.figure import INK, MUTED, WIDTH, Chart, Datasets, Figure, Table, finish, fitted_scale
from qtool.report.format import cost, plain, share

if TYPE_CHECKING:
    from qtool.report.report import LayerReport, Report

COLORS = [
    "var(--weights)",
    "var(--acts)",
    "var(--good)",
    "var(--chosen)",
    "var(--extra)",
    "var(--faint)",
]
BETWEEN = "between layers"
"""What the whole network costs beyond its layers: conversions, and operators without products."""
_METRICS = {"latency_s": "time (s)", "energy_j": "energy (J)"}
_EIGHT = {"latency_s": "latency_8bit_s", "energy_j": "energy_8bit_j"}


def spent_figure(report: Report) -> Figure | None:
    """Return stacked bars of what every layer costs, of the plan and of uniform 8 bits."""
    import altair as alt

    known = [metric for metric in _METRICS if getattr(report.cost, metric) is not None]
    if not known:
        return None
    data = Datasets()
    panels = [_stack(data, _parts(report, metric), _METRICS[metric]) for metric in known]
    chart = alt.vconcat(*panels).resolve_scale(x="independent", color="shared")
    label = "Stacked bars: the share of every layer in time and energy, at 8 bits and of the plan."
    return Figure("spent", label, finish(chart, data), _table(report, known))


def _parts(report: Report, metric: str) -> list[dict[str, Any]]:
    rows = []
    for plan, field, total in (
        ("8 bits", _EIGHT[metric], getattr(report.cost_8bit, metric)),
        ("this plan", metric, getattr(report.cost, metric)),
    ):
        values = [(layer.name, layer.op, getattr(layer, field) or 0.0) for layer in report.layers]
        rest = max((total or 0.0) - fsum(value for _, _, value in values), 0.0)
        for at, (name, op, value) in enumerate([*values, (BETWEEN, BETWEEN, rest)]):
            told = {"cost": cost(metric, value), "share": share(value / total if total else None)}
            rows.append({"plan": plan, "at": at, "layer": name, "op": op, "value": value} | told)
    return rows


def _stack(data: Datasets, rows: list[dict[str, Any]], title: str) -> Chart:
    import altair as alt

    kinds = list(dict.fromkeys(row["op"] for row in rows))
    colors = [COLORS[min(at, len(COLORS) - 1)] for at in range(len(kinds))]
    return (
        alt.Chart(data.add(rows), width=WIDTH - 60, height=70)
        .mark_bar(stroke="var(--paper)", strokeWidth=0.5)
        .encode(
            x=alt.X("value:Q", title=title, axis=alt.Axis(format="~s", tickCount=6)),
            y=alt.Y("plan:N", title=None),
            color=alt.Color("op:N", title=None, scale=alt.Scale(domain=kinds, range=colors)),
            order=alt.Order("at:Q"),
            tooltip=[alt.Tooltip(f"{field}:N") for field in ("layer", "op", "cost", "share")],
        )
    )


def _table(report: Report, metrics: list[str]) -> Table:
    words = {"latency_s": "time", "energy_j": "energy"}
    head = ["layer", *(f"{words[metric]}{which}" for metric in metrics for which in ("", " at 8 bits"))]
    rows = [
        (
            layer.name,
            *(cost(metric, getattr(layer, at)) for metric in metrics for at in (metric, _EIGHT[metric])),
        )
        for layer in report.layers
    ]
    return Table(tuple(head), tuple(rows))


def roofline_figure(report: Report) -> Figure | None:
    """Return the roofline of a machine that tells arithmetic from memory, with a dot for every layer."""
    import altair as alt

    layers = [layer for layer in report.layers if _placed(layer)]
    if not layers:
        return None
    rows = [_dot(layer) for layer in layers]
    data, roof = Datasets(), _roof(layers, [row["intensity"] for row in rows])
    scale = fitted_scale(logarithmic=True)
    x = alt.X(
        "intensity:Q",
        title="MACs per byte moved",
        scale=scale,
        axis=alt.Axis(format="~s", tickCount=5, grid=False),
    )
    y = alt.Y(
        "rate:Q", title="MACs per second", scale=scale, axis=alt.Axis(format="~s", tickCount=5, grid=False)
    )
    told = ["layer", "precision", "time", "bound by"]
    pairs = sorted({row["precision"] for row in rows})
    color = alt.Color("precision:N", title=None, scale=alt.Scale(domain=pairs, range=_cycle(len(pairs))))
    dots = (
        alt.Chart(data.add(rows), width=WIDTH, height=300)
        .mark_circle(size=70, opacity=0.85)
        .encode(x=x, y=y, color=color, tooltip=[alt.Tooltip(f"{field}:N") for field in told])
    )
    line = alt.Chart(data.add(roof)).mark_line(color=MUTED, strokeDash=[6, 4]).encode(x=x, y=y)
    label = "Roofline: rate of every layer against its MACs per byte, under the limits of the machine."
    head = ("layer", "precision", "MACs per byte", "MACs per second", "bound by")
    table = tuple(
        (row["layer"], row["precision"], plain(row["intensity"]), plain(row["rate"]), row["bound by"])
        for row in rows
    )
    return Figure("roofline", label, finish(alt.layer(line, dots), data), Table(head, table))


def _placed(layer: LayerReport) -> bool:
    needed = (layer.macs, layer.latency_s, layer.compute_s, layer.memory_s, layer.traffic_bytes)
    return all(needed)


def _dot(layer: LayerReport) -> dict[str, Any]:
    macs, compute, memory = layer.macs or 0.0, layer.compute_s or 0.0, layer.memory_s or 0.0
    return {
        "layer": layer.name,
        "precision": f"w{layer.weight_bits}a{layer.act_bits}",
        "intensity": macs / (layer.traffic_bytes or 1.0),
        "rate": macs / (layer.latency_s or 1.0),
        "time": cost("latency_s", layer.latency_s),
        "bound by": "arithmetic" if compute >= memory else "memory",
    }


def _roof(layers: list[LayerReport], intensities: list[float]) -> list[dict[str, float]]:
    """Return the limits as a line: the bandwidth, and the highest rate of arithmetic of any layer."""
    bandwidth = max((layer.traffic_bytes or 0.0) / (layer.memory_s or 1.0) for layer in layers)
    peak = max((layer.macs or 0.0) / (layer.compute_s or 1.0) for layer in layers)
    knee = peak / bandwidth
    ends = sorted({min(*intensities, knee), knee, max(*intensities, knee)})
    return [{"intensity": at, "rate": min(bandwidth * at, peak)} for at in ends]


def _cycle(count: int) -> list[str]:
    base = [*COLORS[:-1], INK]
    return [base[at % len(base)] for at in range(count)]
