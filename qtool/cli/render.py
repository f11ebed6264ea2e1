"""How results reach the terminal: JSON for machines, values and tables for people."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import typer

from qtool.report.format import plain

WIDE = 1000
"""Characters in a line of a table that goes to a file or another program."""


def show(document: Mapping[str, Any], *, as_json: bool, quiet: bool) -> None:
    """Print a result: a JSON document, or its values line by line and its lists of objects as tables."""
    if as_json:
        typer.echo(json.dumps(document, indent=2, allow_nan=False, ensure_ascii=False))
    elif not quiet:
        show_values(document)
        for key, rows in document.items():
            if _is_table(rows):
                show_table(rows, title=key)


def show_values(document: Mapping[str, Any], prefix: str = "") -> None:
    """Print the values of a document that are no tables, one per line; inner objects with dotted names."""
    for key, value in document.items():
        if isinstance(value, Mapping):
            show_values(value, f"{prefix}{key}.")
        elif isinstance(value, list | tuple) and not _is_table(value):
            typer.echo(f"{prefix}{key}: {', '.join(plain(item) for item in value) or 'none'}")
        elif not _is_table(value):
            typer.echo(f"{prefix}{key}: {plain(value)}")


def show_table(rows: Sequence[Mapping[str, Any]], title: str = "") -> None:
    """Print objects as a table, a column per key; numbers are aligned to the right."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    keys = list(dict.fromkeys(key for row in rows for key in row))
    table = Table(title=title or None, title_justify="left", box=None, pad_edge=False)
    for key in keys:
        numeric = all(isinstance(row.get(key), int | float | None) for row in rows)
        table.add_column(key, justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(plain(row.get(key))) for key in keys))
    watched = sys.stdout.isatty()
    # Where nobody watches, a line is as long as it needs to be.
    Console(highlight=False, width=None if watched else WIDE).print(table)


def _is_table(value: object) -> bool:
    return isinstance(value, list | tuple) and bool(value) and all(isinstance(row, Mapping) for row in value)
