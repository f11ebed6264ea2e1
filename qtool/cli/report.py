"""``qtool report``: report.html of a folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from qtool.cli import options
from qtool.cli.render import show

FOLDER = Annotated[Path, typer.Argument(help="The -o of qtool quantize or qtool search.", show_default=False)]


def report(
    folder: FOLDER,
    *,
    json: options.JSON = False,
    quiet: options.QUIET = False,
    debug: options.DEBUG = False,
) -> None:
    """Make report.html again, from the other files of a folder.

    One file, which opens without a network: before and after; bits, costs and losses of the layers; the
    front, sensitivities, distributions; what stayed float, and how far the forms agree.
    """
    from qtool.report.folder import write_page

    show({"page": str(write_page(folder))}, as_json=json, quiet=quiet)
