"""Tables as HTML, for notebooks; all text is escaped."""

from __future__ import annotations

from html import escape
from math import isfinite
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

SHOWN = 200
"""Rows of a table in a notebook; a line below it says how many were left out."""


def html_table(caption: str, head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a table element; numbers have five digits, ``None`` is ``-``.

    Args:
        caption: above the table.
        head: names of the columns.
        rows: cells, the first of which names the row.
    """
    every = list(rows)
    top = "".join(f'<th scope="col">{escape(name)}</th>' for name in head)
    body = "".join(f"<tr>{_cells(row)}</tr>" for row in every[:SHOWN])
    left = len(every) - SHOWN
    rest = f"<tfoot><tr><td>and {left} more</td></tr></tfoot>" if left > 0 else ""
    title = f"<caption>{escape(caption)}</caption>"
    return f"<table>{title}<thead><tr>{top}</tr></thead><tbody>{body}</tbody>{rest}</table>"


def _cells(row: Sequence[object]) -> str:
    first, *others = (escape(_text(cell)) for cell in row)
    return f'<th scope="row">{first}</th>' + "".join(f"<td>{cell}</td>" for cell in others)


def _text(value: object) -> str:
    if value is None or (isinstance(value, float) and not isfinite(value)):
        return "-"
    return f"{value:.5g}" if isinstance(value, float) else str(value)
