"""``qtool opt``: runs passes by text on a model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from qtool.cli import options
from qtool.cli.progress import progress
from qtool.cli.render import show

if TYPE_CHECKING:
    from passes.instruments import Instrument

PIPELINE = Annotated[str, typer.Option("--pipeline", "-p", help="Passes in text form, comma-separated.")]
OUT = Annotated[Path | None, typer.Option("--out", "-o", help="The .onnx file to write.")]
PRINT = Annotated[bool, typer.Option("--print-pipeline", help="Print the pipeline as parsed, and stop.")]
TIME = Annotated[bool, typer.Option("--time-passes", help="Tell how long each pass took.")]
DUMP = Annotated[Path | None, typer.Option(help="Write the model after each pass into this folder.")]
STOP = Annotated[str | None, typer.Option(help="Name of the last pass to run.")]
VERIFY = Annotated[bool, typer.Option("--verify-each", help="Check what each pass says it wrote.")]
PLUGIN = Annotated[list[str] | None, typer.Option(help="Python module that defines passes; repeatable.")]


def opt(  # noqa: PLR0913 - one parameter per option
    model: options.MODEL,
    *,
    pipeline: PIPELINE,
    out: OUT = None,
    target: options.TARGET = "generic",
    calib: options.CALIB_IF_ANY = None,
    preprocess: options.PREPROCESS = None,
    samples: options.SAMPLES = None,
    seed: options.SEED = 0,
    workers: options.WORKERS = 0,
    plugin: PLUGIN = None,
    print_pipeline: PRINT = False,
    time_passes: TIME = False,
    dump_dir: DUMP = None,
    stop_after: STOP = None,
    verify_each: VERIFY = False,
    json: options.JSON = False,
    quiet: options.QUIET = False,
    debug: options.DEBUG = False,
) -> None:
    """Run a pipeline of passes on a model.

    Without -o nothing is written; what each pass does is told all the same.
    """
    from hwmodels import load_target
    from passes.api import PassContext
    from passes.execution.dataset import graph_inputs, open_dataset
    from passes.ir.onnx_io import read_model, to_proto, write_proto
    from passes.manager import PassManager
    from passes.pipeline import parse, to_text
    from passes.registry import load_plugin
    from qtool.output_folder import check_output_file

    for module in plugin or ():
        load_plugin(module)
    steps = parse(pipeline)
    if print_pipeline:
        typer.echo(to_text(steps))
        return
    if out is not None:
        check_output_file(out)
    machine, images = load_target(target), options.read_preprocess(preprocess)
    opened = read_model(model)
    data = None if calib is None else open_dataset(calib, graph_inputs(opened.graph), images, samples)
    manager = PassManager(steps, verify_each, _instruments(time_passes, dump_dir), stop_after)
    with progress(silent=json or quiet) as tell:
        ctx = PassContext(machine, data, seed=seed, workers=workers, progress=tell)
        records = manager.run(opened, ctx)
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        write_proto(to_proto(opened), out)
    rows = [{"pass": record.text, "did": record.summary, "seconds": record.seconds} for record in records]
    remarks = [{"source": it.source, "subject": it.subject, "remark": it.message} for it in ctx.journal]
    show({"passes": rows, "journal": remarks}, as_json=json, quiet=quiet)


def _instruments(time_passes: bool, dump_dir: Path | None) -> tuple[Instrument, ...]:
    from passes.instruments import DumpModels, TimePasses

    timing = (TimePasses(lambda line: typer.echo(line, err=True)),) if time_passes else ()
    return timing + ((DumpModels(dump_dir),) if dump_dir is not None else ())
