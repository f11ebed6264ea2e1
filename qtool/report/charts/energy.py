"""What the energy of every layer goes into: arithmetic, buffers on the chip, memory beside it."""

from __future__ import annotations

from math import fsum
from typing import TYPE_CHECKING, Any

from qtool.report.charts.figure import WIDTH, Datasets, Figure, Table, finish
from qtool.report.format import cost, share

if TYPE_CHECKING:
    from qtool.report.report import LayerReport, Report

PARTS = ("arithmetic", "on chip", "off chip")
COLORS = ("var(--weights)", "var(--good)", "var(--acts)")


def energy_figure(report: Report) -> Figure | None:
    """Return stacked bars along the network, where the target tells arithmetic from memory."""
    import altair as alt

    split = {layer.name: _parts(layer) for layer in report.layers if layer.on_chip_j is not None}
    total = fsum(fsum(parts) for parts in split.values())
    if not total:
        return None
    data = Datasets()
    rows = [row for name, parts in split.items() for row in _rows(name, parts)]
    chart = (
        alt.Chart(data.add(rows), width=WIDTH, height=180)
        .mark_bar(stroke="var(--paper)", strokeWidth=0.5)
        .encode(
            x=alt.X("layer:N", title=None, sort=None, axis=alt.Axis(labels=False, ticks=False)),
            y=alt.Y("energy:Q", title="energy (J)", axis=alt.Axis(format="~s", tickCount=5)),
            color=alt.Color("part:N", title=None, scale=alt.Scale(domain=[*PARTS], range=[*COLORS])),
            order=alt.Order("at:Q"),
            tooltip=[alt.Tooltip(f"{field}:N") for field in ("layer", "part", "joules", "share")],
        )
    )
    sums = [fsum(parts[at] for parts in split.values()) for at in range(len(PARTS))]
    spent = ", ".join(f"{name} {share(value / total)}" for name, value in zip(PARTS, sums, strict=True))
    label = f"Stacked bars: what the energy of every layer of the plan goes into; in all, {spent}."
    table = tuple((name, *(cost("energy_j", value) for value in parts)) for name, parts in split.items())
    return Figure("energy", label, finish(chart, data), Table(("layer", *PARTS), table))


def _parts(layer: LayerReport) -> tuple[float, float, float]:
    """Return joules of arithmetic, of buffers and of the memory interface."""
    on_chip, off_chip = layer.on_chip_j or 0.0, layer.off_chip_j or 0.0
    return max((layer.energy_j or 0.0) - on_chip - off_chip, 0.0), on_chip, off_chip


def _rows(name: str, parts: tuple[float, ...]) -> list[dict[str, Any]]:
    total = fsum(parts)
    return [
        {"layer": name, "part": part, "at": at, "energy": value}
        | {"joules": cost("energy_j", value), "share": share(value / total if total else None)}
        for at, (part, value) in enumerate(zip(PARTS, parts, strict=True))
    ]
