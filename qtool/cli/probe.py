"""``qtool targets probe``: a machine file of the machine at hand."""

from __future__ import annotations

from typing import Annotated

import typer

from qtool.cli import options
from qtool.cli.render import show

THREADS = Annotated[int, typer.Option(min=1, max=1024, help="Threads of ONNX Runtime.")]
REPEAT = Annotated[int, typer.Option(min=2, max=1000, help="Rounds over all points; the fastest counts.")]
QUICK = Annotated[bool, typer.Option("--quick", help="A small grid, to try the command.")]
FRESH = Annotated[bool, typer.Option("--fresh", help="Discard what an earlier probe measured.")]


def probe_target(  # noqa: PLR0913 - one parameter per option
    *,
    out: options.FILE,
    threads: THREADS = 1,
    repeat: REPEAT = 5,
    quick: QUICK = False,
    fresh: FRESH = False,
    json: options.JSON = False,
    quiet: options.QUIET = False,
    debug: options.DEBUG = False,
) -> None:
    """Measure this machine through ONNX Runtime and write its file; after an interruption it goes on."""
    from qtool.cli.progress import progress
    from qtool.probe import FULL_SHAPES, QUICK_SHAPES, ProbeRequest, run_probe

    request = ProbeRequest(out, threads, repeat, QUICK_SHAPES if quick else FULL_SHAPES, fresh)
    with progress(silent=quiet or json) as tell:
        found = run_probe(request, tell)
    show(found, as_json=json, quiet=quiet)
