"""Comparisons of runs as text, Markdown and HTML."""

from __future__ import annotations

from typing import TYPE_CHECKING

from passes.html_table import html_table
from qtool.report.charts.figure import Table
from qtool.report.format import NOTHING
from qtool.report.markdown import markdown_table
from qtool.report.page.page import Page, Section, render

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qtool.compare_runs import Compared, RunsReport

TITLE = "What changed"
_FIRST = {"results": "quantity", "layers": "layer", "circumstances": "circumstance"}
"""Heads of the first columns."""


def runs_tables(found: RunsReport) -> list[tuple[str, str, Table]]:
    """Return the parts of a comparison that have rows: name, heading, and table."""
    parts = (
        ("results", "Results", found.results),
        ("layers", f"Layers of other bits ({found.equal_layers} have the same)", found.layers),
        ("circumstances", "Circumstances", found.circumstances),
    )
    return [(name, title, _table(_FIRST[name], found.runs, rows)) for name, title, rows in parts if rows]


def runs_markdown(found: RunsReport) -> str:
    """Return the comparison as Markdown."""
    sections = [f"## {title}\n\n{markdown_table(*_plain(table))}" for _, title, table in runs_tables(found)]
    return "\n\n".join([f"# {TITLE}", *sections, *_nothing(found)]) + "\n"


def runs_notebook(found: RunsReport) -> str:
    """Return the comparison as HTML tables."""
    return "".join(html_table(title, table.head, table.rows) for _, title, table in runs_tables(found))


def runs_html(found: RunsReport) -> str:
    """Return the comparison as a page that opens without a network."""
    sections = [Section(name, title, table=table) for name, title, table in runs_tables(found)]
    if not found.layers:
        sections.append(Section("layers", "Layers", tuple(_nothing(found))))
    return render(Page(TITLE, " against ".join(found.runs), sections))


def _nothing(found: RunsReport) -> list[str]:
    return [] if found.layers else [f"All {found.equal_layers} layers have the same bits."]


def _table(first: str, runs: Sequence[str], rows: Sequence[Compared]) -> Table:
    if all(row.change == NOTHING for row in rows):
        return Table((first, *runs), tuple((row.what, *row.values) for row in rows))
    return Table((first, *runs, "change"), tuple((row.what, *row.values, row.change) for row in rows))


def _plain(table: Table) -> tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]:
    return table.head, table.rows
