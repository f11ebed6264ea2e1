"""``qtool passes``: the passes there are, and their options."""

from __future__ import annotations

import re
from dataclasses import MISSING
from inspect import getdoc
from typing import TYPE_CHECKING, Annotated, Any

import typer

from qtool.cli import options
from qtool.cli.render import show

if TYPE_CHECKING:
    from passes.options import Option

NAME = Annotated[str, typer.Argument(help="A name of `qtool passes list`.", show_default=False)]


def list_passes(
    json: options.JSON = False, quiet: options.QUIET = False, debug: options.DEBUG = False
) -> None:
    """List the passes that come with the tool or are installed."""
    from passes.registry import find_pass, pass_names

    rows = [{"name": name, "does": _first_line(find_pass(name))} for name in pass_names()]
    show({"passes": rows}, as_json=json, quiet=quiet)


def show_pass(
    name: NAME, json: options.JSON = False, quiet: options.QUIET = False, debug: options.DEBUG = False
) -> None:
    """Show what a pass does, and its options with their defaults."""
    show(pass_document(name), as_json=json, quiet=quiet)


def pass_document(name: str) -> dict[str, Any]:
    """Return what a pass does and its options, as ``qtool passes show --json`` prints it.

    Raises:
        UsageError: there is no such pass; names the nearest.
    """
    from passes.options import options_of
    from passes.registry import find_pass

    found = find_pass(name)
    text, meanings = _documentation(found)
    rows = [_row(option, meanings.get(option.field)) for option in options_of(found).values()]
    return {"name": name, "does": text, "options": rows}


def _row(option: Option, meaning: str | None) -> dict[str, str | None]:
    default = None if option.default is MISSING else str(option.default)
    kind = option.kind.__name__ if isinstance(option.kind, type) else str(option.kind)
    return {"option": option.key, "kind": kind, "default": default, "meaning": meaning}


def _documentation(found: type) -> tuple[str, dict[str, str]]:
    """Return the docstring of a class up to its attributes, and what it says about each of them."""
    text, _, attributes = (getdoc(found) or "").partition("\nAttributes:\n")
    meanings = {}
    for entry in re.split(r"\n(?=    \w)", attributes):
        name, _, meaning = entry.strip().partition(": ")
        meanings[name] = " ".join(meaning.split())
    return text.strip(), meanings


def _first_line(found: type) -> str:
    return _documentation(found)[0].partition("\n")[0]
