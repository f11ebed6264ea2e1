"""The options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from passes.execution.preprocess import Preprocess


def names_of_targets() -> list[str]:
    """Return what a shell completes a target with."""
    from hwmodels import target_names

    return list(target_names())


MODEL = Annotated[Path, typer.Argument(help="An .onnx file.", show_default=False)]
CALIB = Annotated[str, typer.Option(help="Samples to choose ranges on: .npz, folder, or module:function.")]
CALIB_IF_ANY = Annotated[str | None, typer.Option("--calib", help="Samples to choose ranges on.")]
EVAL = Annotated[str | None, typer.Option("--eval", help="Held-out samples to measure the result on.")]
DATA = Annotated[str, typer.Option(help="Samples to run both on: .npz, folder, or module:function.")]
TARGET = Annotated[
    str,
    typer.Option(help="A machine of `qtool targets list`, or a .toml file.", autocompletion=names_of_targets),
]
PREPROCESS = Annotated[
    str | None, typer.Option(help="How images become inputs: imagenet, tf, or key=value pairs.")
]
SAMPLES = Annotated[int | None, typer.Option(min=1, help="Use the first so many samples.")]
METRIC = Annotated[
    str | None,
    typer.Option(
        help="top1, top5, sqnr, cosine, agreement, likelihood (1 / perplexity), or module:function."
    ),
]
LABEL_OFFSET = Annotated[int, typer.Option(help="Added to labels; 1 for a background class.")]
SHAPE = Annotated[
    list[str] | None,
    typer.Option(help="NAME=1,3,480,640: price the work for an input of this shape; repeatable."),
]
WORKERS = Annotated[int, typer.Option(min=0, help="Threads; 0 lets ONNX Runtime choose.")]
SEED = Annotated[int, typer.Option(min=0, help="Root of every random choice.")]
FORCE = Annotated[bool, typer.Option("--force", help="Replace files that exist.")]
FORMS = Annotated[str, typer.Option("--to", help="Forms to write: qdq, qcdq, qonnx, matmulnbits, packed.")]
SOLVER = Annotated[str, typer.Option(help="ilp or greedy.")]
TIME_LIMIT = Annotated[float, typer.Option(help="Seconds for the solver.")]
FOLDER = Annotated[Path, typer.Option("--out", "-o", help="Folder for the results.", show_default=False)]
FILE = Annotated[Path, typer.Option("--out", "-o", help="File for the result.", show_default=False)]
FILE_IF_ANY = Annotated[Path | None, typer.Option("--out", "-o", help="File for the result, as JSON.")]
JSON = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
QUIET = Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.")]
DEBUG = Annotated[bool, typer.Option("--debug", help="Print the traceback of an error.")]


def read_preprocess(text: str | None) -> Preprocess | None:
    """Read ``--preprocess``.

    Raises:
        UsageError: an unknown key, or a value that is not of its kind.
    """
    from passes.execution.preprocess import Preprocess

    return None if text is None else Preprocess.parse(text)
