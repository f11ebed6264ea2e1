"""Figures of the machine pages: latency and energy against bits, for three kinds of layers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import altair as alt

from hwmodels import Metric, Precision, UnsupportedError, load_target
from hwmodels.registry import BUILTIN

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from hwmodels import HardwareModel, Workload

BITS = range(2, 9)
SWEEPS = {
    "both": lambda bits: Precision(bits, bits),
    "weights, a8": lambda bits: Precision(bits, 8),
    "activations, w8": lambda bits: Precision(8, bits),
}
METRICS = {Metric.LATENCY: "latency / w8a8", Metric.ENERGY: "energy / w8a8", Metric.BOPS: "BOPs / w8a8"}


def write_plots(folder: Path, layers: Sequence[Workload]) -> None:
    """Write one SVG per built-in machine."""
    for name in BUILTIN:
        machine = load_target(name)
        metrics = [metric for metric in (Metric.LATENCY, Metric.ENERGY) if metric in machine.metrics]
        points = [
            point
            for metric in metrics or [Metric.BOPS]
            for work in layers
            for point in _points(machine, work, metric)
        ]
        _figure(points).save(str(folder / f"{name}.svg"))


def _points(machine: HardwareModel, work: Workload, metric: Metric) -> Iterator[dict[str, Any]]:
    reference = machine.cost(work, Precision(8, 8)).get(metric)
    for sweep, pair in SWEEPS.items():
        for bits in BITS:
            try:
                value = machine.cost(work, pair(bits)).get(metric)
            except UnsupportedError:
                continue
            if value is not None and reference:
                label = METRICS[metric], work.name.split(",")[0]
                yield {
                    "metric": label[0],
                    "layer": label[1],
                    "lowered": sweep,
                    "bits": bits,
                    "share": value / reference,
                }


def _figure(points: list[dict[str, Any]]) -> alt.FacetChart:
    chart = alt.Chart(alt.Data(values=points)).mark_line(point=True, strokeWidth=2)
    lines = chart.encode(
        x=alt.X("bits:O", title="bits", axis=alt.Axis(labelAngle=0)),
        y=alt.Y("share:Q", title=None, scale=alt.Scale(domainMin=0)),
        color=alt.Color("lowered:N", title="lowered", sort=list(SWEEPS), scale=alt.Scale(scheme="dark2")),
        strokeDash=alt.StrokeDash("lowered:N", sort=list(SWEEPS), legend=None),
    ).properties(width=190, height=150)
    return lines.facet(
        column=alt.Column("layer:N", title=None, header=alt.Header(labelFontSize=12, labelFontWeight="bold")),
        row=alt.Row("metric:N", title=None, header=alt.Header(labelFontSize=12)),
    )
