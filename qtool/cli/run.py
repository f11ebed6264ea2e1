"""``qtool run``: the integer runtime on arrays from a file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from qtool.cli import options
from qtool.cli.render import show

ARTIFACT = Annotated[Path, typer.Argument(help="A .qpk file.", show_default=False)]
INPUT = Annotated[Path, typer.Option("--input", help="An .npz file with one array per input.")]
ENGINE = Annotated[str, typer.Option(help="auto, native or reference; all give the same bits.")]
THREADS = Annotated[int, typer.Option(min=0, max=256, help="Threads; 0 for one per processor.")]
BATCH = Annotated[int, typer.Option(min=1, help="Samples in memory at a time.")]


def run(  # noqa: PLR0913 - one parameter per option
    artifact: ARTIFACT,
    *,
    input_: INPUT,
    out: options.FILE,
    engine: ENGINE = "auto",
    threads: THREADS = 1,
    batch: BATCH = 64,
    json: options.JSON = False,
    quiet: options.QUIET = False,
    debug: options.DEBUG = False,
) -> None:
    """Run a packed artifact on integers."""
    import numpy as np

    from qtool.execution import execute
    from qtool.files import replacing
    from qtool.output_folder import check_output_file

    check_output_file(out)
    done = execute(artifact, input_, engine, threads, batch)
    with replacing(out) as temporary, temporary.open("wb") as stream:
        np.savez(stream, allow_pickle=False, **done.outputs)
    show(done.to_json(), as_json=json, quiet=quiet)
