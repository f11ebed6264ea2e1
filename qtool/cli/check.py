"""``qtool check``: the step that continuous integration runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from qtool.cli import options
from qtool.cli.progress import progress
from qtool.cli.render import show, show_table

if TYPE_CHECKING:
    from qtool.check.verdict import CheckRun

CONFIG = Annotated[Path, typer.Argument(help="A qtool.toml; docs/ci.md says what is in it.")]
UPDATE = Annotated[bool, typer.Option("--update-baseline", help="Make what is found the new baseline.")]
REBUILD = Annotated[
    bool, typer.Option("--rebuild", help="Compile everything once more; the bytes must be the same.")
]
OUT = Annotated[
    Path | None, typer.Option("--out", "-o", help="Folder for reports and models; the file's if left out.")
]


def check(  # noqa: PLR0913 - one parameter per option
    config: CONFIG = Path("qtool.toml"),
    *,
    update_baseline: UPDATE = False,
    rebuild: REBUILD = False,
    out: OUT = None,
    json: options.JSON = False,
    quiet: options.QUIET = False,
    debug: options.DEBUG = False,
) -> None:
    """Compile models that are out of date and compare all with a baseline.

    Ends with 5 if a model is outside its tolerances. Writes junit.xml, check.sarif and summary.md.
    """
    from dataclasses import replace

    from qtool.check.config import read_config
    from qtool.check.run import run_check
    from qtool.check.write import write_reports
    from qtool.output_folder import check_output_folder

    read = read_config(config)
    read = read if out is None else replace(read, out=out)
    check_output_folder(read.out, force=True)
    with progress(silent=json or quiet) as tell:
        run = run_check(read, tell, rebuild=rebuild, update=update_baseline)
    write_reports(run, read.out)
    if json:
        show(run.to_json(), as_json=True, quiet=False)
    elif not quiet:
        _show(run, read.out)
    if run.exit_code:
        raise typer.Exit(run.exit_code)


def _show(run: CheckRun, out: Path) -> None:
    """Print a row per model, what is wrong, and the outcome."""
    from qtool.check.summary import overview, problems, verdict_line

    show_table(overview(run))
    mark = typer.style("failed:", fg=typer.colors.RED, bold=True)
    for verdict in run.verdicts:
        for line in problems(verdict):
            typer.echo(f"{mark} {line}")
    typer.echo(f"{verdict_line(run)}; reports in {out}/")
