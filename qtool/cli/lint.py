"""``qtool lint``: will a model load, run on integers and be right on a release of ONNX Runtime."""

from __future__ import annotations

from typing import Annotated

import typer

from qtool.cli import options
from qtool.cli.render import show

RUNTIME = Annotated[
    str | None,
    typer.Option(help="The release, such as onnxruntime==1.31.1; that which is installed if left out."),
]
LEVEL = Annotated[str, typer.Option(help="Level of optimization the model is loaded at: default or basic.")]
FOUND_ERRORS = 5
"""Exit code when the model does not load, does not run, or is silently wrong."""


def lint(
    model: options.MODEL,
    *,
    runtime: RUNTIME = None,
    level: LEVEL = "default",
    json: options.JSON = False,
    quiet: options.QUIET = False,
    debug: options.DEBUG = False,
) -> None:
    """Find what ONNX Runtime refuses, slows down or gets wrong. Ends with 5 if there are errors."""
    from qtool.lint import lines_of, lint_model

    document = lint_model(model, runtime, level)
    if json:
        show(document, as_json=True, quiet=quiet)
    elif not quiet:
        typer.echo("\n".join(lines_of(document)))
    if document["errors"]:
        raise typer.Exit(FOUND_ERRORS)
