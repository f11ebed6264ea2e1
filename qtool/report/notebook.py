"""What a notebook shows of a report."""

from __future__ import annotations

from typing import TYPE_CHECKING

from passes.html_table import html_table
from qtool.report.format import cost, cost_or_number
from qtool.report.headline import headline

if TYPE_CHECKING:
    from qtool.report.front import FrontReport
    from qtool.report.report import Report


def report_tables(report: Report) -> str:
    """Return the headline and the layers of a report as HTML tables."""
    lines = [(row.what, row.before, row.uniform, row.after, row.change) for row in headline(report)]
    top = html_table(f"On {report.target}", ("", "float", "uniform 8 bits", "this plan", "change"), lines)
    layers = [
        (
            layer.name,
            layer.op,
            layer.weight_bits,
            layer.act_bits,
            layer.loss,
            cost("latency_s", layer.latency_s),
            cost("weight_bytes", layer.weight_bytes),
        )
        for layer in report.layers
    ]
    head = ("layer", "operator", "weight bits", "activation bits", "expected loss", "time", "weights")
    return top + html_table("Layers", head, layers)


def front_table(front: FrontReport) -> str:
    """Return the points of a front as an HTML table."""
    rows = [
        (it.name, it.kind, cost_or_number(front.metric, it.cost), it.loss, it.bound)
        for it in sorted(front.points, key=lambda it: it.cost)
    ]
    return html_table("Plans by cost", ("plan", "kind", front.metric, "expected loss", "bound"), rows)
