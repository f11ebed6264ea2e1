"""What ``qtool quantize`` prints at the end: about ten lines, before and after."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from qtool.cli.render import show_table
from qtool.report.format import cost, plain, share
from qtool.report.headline import budget_line, coverage_line, headline, precision_counts, tight_accumulator

if TYPE_CHECKING:
    from pathlib import Path

    from qtool.report.report import Report


def show_summary(report: Report, out: Path) -> None:
    """Print about ten lines: before and after, budgets, agreement, where the files are."""
    rows = headline(report)
    show_table(
        [
            {
                "": row.what,
                "float": row.before,
                "8 bits": row.uniform,
                "plan": row.after,
                "change": row.change,
            }
            for row in rows
        ]
    )
    typer.echo(f"layers: {precision_counts(report)}; {coverage_line(report)}")
    for budget in report.budgets:
        typer.echo(f"budget {budget_line(budget)}")
    typer.echo(_agreement(report))
    tight = tight_accumulator(report)
    if tight:
        typer.echo(f"accumulators: {tight}")
    seconds, memory = f"{report.time_s.total:.1f} s", cost("peak_memory_bytes", report.peak_rss_bytes)
    typer.echo(f"{seconds}, {memory}; results in {out}/")


def _agreement(report: Report) -> str:
    """Say how far the forms agree, or why there is only one."""
    missing = [line.message for line in report.journal if (line.source, line.subject) == ("lower", "packed")]
    if missing:
        return f"no packed artifact: {missing[0]}"
    found = report.agreement
    if found is None or found.qdq_vs_packed_max_lsb is None:
        return "QDQ and packed were not compared"
    apart = f"QDQ and packed: at most {plain(found.qdq_vs_packed_max_lsb)} LSB apart layer by layer"
    if found.top1_agreement is None:
        return apart
    return f"{apart}, same class on {share(found.top1_agreement)} of the samples"
