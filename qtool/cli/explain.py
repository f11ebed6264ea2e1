"""``qtool explain``: why a layer has these bits."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from qtool.cli import options
from qtool.cli.render import show, show_table

FOLDER = Annotated[Path, typer.Argument(help="The -o of qtool quantize or qtool search.", show_default=False)]
LAYER = Annotated[str, typer.Argument(help="A layer of plan.json.", show_default=False)]
POINT = Annotated[
    int | None, typer.Option(help="Of a search: this point of the front, counted from 0; else the knee.")
]


def explain(
    folder: FOLDER,
    layer: LAYER,
    *,
    point: POINT = None,
    json: options.JSON = False,
    quiet: options.QUIET = False,
    debug: options.DEBUG = False,
) -> None:
    """Explain the precision of a layer.

    Its choices with losses and costs, which budget binds and what it is worth, and what other bits would
    change: all else the same, and at the least when all other layers are chosen anew (reduced cost).
    """
    from qtool.explain import explain as found_out
    from qtool.explanation import choices_table, explanation

    document = found_out(folder, layer, point)
    if json:
        show(document, as_json=True, quiet=quiet)
    elif not quiet:
        typer.echo("\n".join(explanation(document)))
        show_table(choices_table(document))
