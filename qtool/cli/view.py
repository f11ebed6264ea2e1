"""``qtool view``: a model in Netron, with bits, expected losses and costs at its nodes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from qtool.cli import options
from qtool.cli.render import show

MODEL = Annotated[
    Path, typer.Argument(help="An .onnx file, or the -o of qtool quantize.", show_default=False)
]
RUN = Annotated[
    Path | None, typer.Option("--run", help="Folder of the run to tell about; else that of the model.")
]
FILE = Annotated[
    Path | None, typer.Option("--out", "-o", help="Write the model with its metadata, and open nothing.")
]
PORT = Annotated[int, typer.Option(min=0, max=65535, help="Port of the page; 0 lets Netron choose.")]


def view(  # noqa: PLR0913 - one parameter per option
    model: MODEL,
    *,
    run: RUN = None,
    out: FILE = None,
    port: PORT = 0,
    json: options.JSON = False,
    quiet: options.QUIET = False,
    debug: options.DEBUG = False,
) -> None:
    """Show a model in Netron.

    Click a layer: its bits, what it is expected to lose and what it costs are under its metadata.
    """
    from passes.ir.onnx_io import write_proto
    from qtool.output_folder import check_output_file
    from qtool.view import annotated, locate, open_in_netron

    if out is not None:
        check_output_file(out)
    file, folder = locate(model, run)
    result = annotated(file, folder)
    show(result.to_document(), as_json=json, quiet=quiet)
    if out is None:
        open_in_netron(result, port)
    else:
        write_proto(result.proto, out)
