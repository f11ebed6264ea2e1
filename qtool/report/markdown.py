"""report.md: the report for people, and for the summary of a pull request."""

from __future__ import annotations

from pathlib import PurePath
from typing import TYPE_CHECKING

from qtool.report.format import COST_UNITS, cost, plain, share
from qtool.report.headline import budget_line, coverage_line, headline, precision_counts, tight_accumulator
from qtool.report.outliers import outlier_rows
from qtool.report.sensitivity import sensitivity_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from qtool.report.report import LayerReport, Report


def report_markdown(report: Report) -> str:
    """Return the text of report.md."""
    sections = [
        _title(report),
        _budgets(report),
        _layers(report),
        _sensitivity(report),
        _float_operators(report),
        _agreement(report),
        _accumulators(report),
        _outliers(report),
        _journal(report),
        _environment(report),
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def markdown_table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a table; text that would break it is escaped."""
    lines = [_row(head), _row(["---"] * len(head)), *(_row([plain(cell) for cell in row]) for row in rows)]
    return "\n".join(lines)


def _row(cells: Sequence[str]) -> str:
    escaped = (cell.replace("\\", "\\\\").replace("|", "\\|").replace("\n", " ") for cell in cells)
    return f"| {' | '.join(escaped)} |"


def _title(report: Report) -> str:
    rows = [(row.what, row.before, row.uniform, row.after, row.change) for row in headline(report)]
    table = markdown_table(("", "float", "uniform 8 bits", "this plan", "change"), rows)
    layers = f"Layers: {precision_counts(report)}; {coverage_line(report)}."
    title = f"# {PurePath(report.model.path).name} on {report.target}"
    return f"{title}\n\n{table}\n\n{layers}{_measured_on(report)}"


def _measured_on(report: Report) -> str:
    return f" Measured on {report.metric.samples} samples." if report.metric else ""


def _budgets(report: Report) -> str:
    lines = [f"- {budget_line(budget)}" for budget in report.budgets]
    return "\n".join(["## Budgets", "", *lines]) if lines else ""


def _layers(report: Report) -> str:
    metrics = [m for m in ("latency_s", "energy_j", "weight_bytes") if getattr(report.cost, m) is not None]
    head = ("layer", "operator", "weights", "activations", "loss", *(_heading(metric) for metric in metrics))
    rows = [
        (layer.name, layer.op, layer.weight_bits, layer.act_bits, layer.loss, *_layer_costs(layer, metrics))
        for layer in report.layers
        if layer.quantized
    ]
    return f"## Layers\n\n{markdown_table(head, rows)}" if rows else ""


def _layer_costs(layer: LayerReport, metrics: Sequence[str]) -> list[str]:
    return [cost(metric, getattr(layer, metric)) for metric in metrics]


def _heading(metric: str) -> str:
    return metric.removesuffix(f"_{COST_UNITS[metric].lower()}").replace("_", " ")


def _sensitivity(report: Report) -> str:
    found = report.sensitivity_quality
    return f"## Sensitivity\n\n{sensitivity_line(found)}" if found else ""


def _float_operators(report: Report) -> str:
    layers = [(layer.name, layer.op, layer.reason) for layer in report.layers if not layer.quantized]
    others = [(node.name, node.op, node.reason) for node in report.unquantized]
    rows = dict.fromkeys([*layers, *others])
    return f"## What stays float\n\n{markdown_table(('operator', 'kind', 'why'), rows)}" if rows else ""


def _agreement(report: Report) -> str:
    found = report.agreement
    if found is None:
        return ""
    steps = plain(found.qdq_vs_packed_max_lsb)
    lines = [
        f"- QDQ model and packed artifact differ by at most {steps} steps of the output",
        f"- they name the same class on {share(found.top1_agreement)} of the samples",
        f"- QDQ model and float model name the same class on {share(found.top1_vs_float)} of the samples",
    ]
    return "\n".join(["## Agreement", "", *lines])


def _accumulators(report: Report) -> str:
    tight = tight_accumulator(report)
    return f"## Accumulators\n\nNo sum can overflow, but {tight}." if tight else ""


def _outliers(report: Report) -> str:
    rows = outlier_rows(report.outliers)
    if not rows:
        return ""
    head = ("tensor", "largest", "nearly all below", "ratio", "what helps")
    left = len(report.outliers) - len(rows)
    rest = f"\n\n{left} more are in report.json." if left else ""
    return f"## Ranges that few values dominate\n\n{markdown_table(head, rows)}{rest}"


def _journal(report: Report) -> str:
    lines = [f"- {line.source}, {line.subject}: {line.message}" for line in report.journal]
    return "\n".join(["## Remarks", "", *lines]) if lines else ""


def _environment(report: Report) -> str:
    rows: list[tuple[str, object]] = [
        ("model", report.model.path),
        ("sha256", report.model.sha256),
        ("solver", report.solver),
        ("seed", report.seed),
        ("pipeline", report.pipeline or None),
        ("time", f"{report.time_s.total:.1f} s"),
        ("peak memory", cost("peak_memory_bytes", report.peak_rss_bytes)),
        ("qtool", report.qtool),
        *report.versions.items(),
    ]
    return f"## Run\n\n{markdown_table(('', ''), rows)}"
