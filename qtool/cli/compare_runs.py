"""``qtool compare-runs``: what changed between output folders."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from qtool.cli import options
from qtool.cli.render import show, show_table

if TYPE_CHECKING:
    from qtool.compare_runs import RunsReport

FOLDERS = Annotated[list[Path], typer.Argument(help="Folders of qtool quantize.", show_default=False)]
FORMAT = Annotated[str, typer.Option("--format", help="text, markdown or html.")]
FORMATS = ("text", "markdown", "html")


def compare_runs(
    folders: FOLDERS,
    *,
    format_: FORMAT = "text",
    out: options.FILE_IF_ANY = None,
    json: options.JSON = False,
    quiet: options.QUIET = False,
    debug: options.DEBUG = False,
) -> None:
    """Compare runs: metrics, costs, bits by layer, and how they were made.

    Every run stands in a column; changes are those from the first to the last. With -o, Markdown, HTML or
    JSON go into a file.
    """
    from passes.errors import UsageError, unknown_name
    from qtool.compare_runs import compare_runs as compared
    from qtool.files import write_json, write_text
    from qtool.output_folder import check_output_file
    from qtool.report.runs import runs_html, runs_markdown

    if format_ not in FORMATS:
        raise unknown_name("format", format_, FORMATS)
    if out is not None:
        check_output_file(out)
        if format_ == "text" and not json:
            raise UsageError("-o: text goes to the terminal; add --format markdown, --format html or --json")
    found = compared(folders)
    if json:
        if out is not None:
            write_json(found.to_json(), out)
        show(found.to_json(), as_json=True, quiet=quiet)
    elif format_ == "text":
        _show(found, quiet=quiet)
    else:
        text = runs_html(found) if format_ == "html" else runs_markdown(found)
        if out is not None:
            write_text(text, out)
        else:
            typer.echo(text, nl=False)


def _show(found: RunsReport, *, quiet: bool) -> None:
    from qtool.report.runs import runs_tables

    if quiet:
        return
    for _, title, table in runs_tables(found):
        show_table([dict(zip(table.head, row, strict=True)) for row in table.rows], title=title)
    if not found.layers:
        typer.echo(f"all {found.equal_layers} layers have the same bits")
