"""From sections to a page: the template, the style and the scripts."""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qtool.report.charts.figure import Figure, Table


@dataclass(frozen=True, slots=True)
class Tile:
    """One figure in large print: what it is, its value, and how it changed."""

    what: str
    value: str
    change: str


@dataclass(frozen=True, slots=True)
class Section:
    """A part of a page with a heading of its own.

    Attributes:
        name: unique on the page, of letters and hyphens.
        title: heading.
        words: paragraphs, as plain text.
        tiles: figures in large print.
        table: shown as it is.
        figures: charts, each with its data in a table that opens on demand.
        folded: a table that opens on demand, for data without a chart.
    """

    name: str
    title: str
    words: tuple[str, ...] = ()
    tiles: tuple[Tile, ...] = ()
    table: Table | None = None
    figures: tuple[Figure, ...] = ()
    folded: Table | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """A page: its title, a line under it, and its sections in order."""

    title: str
    subtitle: str
    sections: Sequence[Section]


def render(page: Page) -> str:
    """Return the text of a page; the same page gives the same text.

    All text is escaped, so that names out of a model cannot become markup. A content security policy in the
    page forbids it to load anything.
    """
    from jinja2 import Environment

    from qtool.report.page.vega import vega_script

    environment = Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True
    )
    figures = [figure for section in page.sections for figure in section.figures]
    return environment.from_string(_asset("page.html.jinja")).render(
        page=page,
        style=_asset("page.css"),
        script=_asset("page.js"),
        vega=vega_script() if figures else "",
        as_json=_script_json,
    )


def _asset(name: str) -> str:
    return files(__package__).joinpath(name).read_text(encoding="utf-8")


def _script_json(value: Any) -> str:
    """Return JSON that no browser takes for the end of the script that holds it."""
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
