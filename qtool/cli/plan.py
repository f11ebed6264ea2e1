"""``qtool plan``: plans out of quantized models and files of encodings, and back into such files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from qtool.cli import options
from qtool.cli.lower import PLAN
from qtool.cli.render import show

ENCODINGS = Annotated[
    Path | None, typer.Option(help="A file for a float model; without one, the model is quantized itself.")
]
FORMAT = Annotated[str, typer.Option("--format", help="aimet, aimet-0.6.1 or ort-overrides.")]
FLOAT_IO = Annotated[
    bool,
    typer.Option("--float-io", help="Let integer inputs and results be floats, as the packed form needs."),
]


def import_plan(  # noqa: PLR0913 - one parameter per option
    model: options.MODEL,
    *,
    out: options.FOLDER,
    encodings: ENCODINGS = None,
    kind: FORMAT = "aimet",
    target: options.TARGET = "generic",
    float_io: FLOAT_IO = False,
    force: options.FORCE = False,
    json: options.JSON = False,
    quiet: options.QUIET = False,
    debug: options.DEBUG = False,
) -> None:
    """Write the float model and the plan that a quantized model, or a file of encodings, stands for.

    The folder then holds model.onnx and plan.json, which `qtool lower` turns into every form.
    """
    from qtool.interchange import ImportRequest, run_import

    request = ImportRequest(model, out, target, encodings, kind, float_io, force)
    show(run_import(request), as_json=json, quiet=quiet)


def export_plan(  # noqa: PLR0913 - one parameter per option
    model: options.MODEL,
    *,
    plan: PLAN,
    out: options.FOLDER,
    kind: FORMAT = "aimet",
    force: options.FORCE = False,
    json: options.JSON = False,
    quiet: options.QUIET = False,
    debug: options.DEBUG = False,
) -> None:
    """Write a plan as a file of encodings, beside the float model that they are for."""
    from qtool.interchange import run_export

    show(run_export(model, plan, kind, out, force=force), as_json=json, quiet=quiet)
