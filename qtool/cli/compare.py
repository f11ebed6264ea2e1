"""``qtool compare``: how far two forms of a model agree on data."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from qtool.cli import options
from qtool.cli.progress import progress
from qtool.cli.render import show

FIRST = Annotated[Path, typer.Argument(help="The reference: .onnx or .qpk.", show_default=False)]
SECOND = Annotated[Path, typer.Argument(help="What is compared with it: .onnx or .qpk.", show_default=False)]
PER_LAYER = Annotated[bool, typer.Option("--per-layer", help="Find the first layer at which they part.")]


def compare(  # noqa: PLR0913 - one parameter per option
    a: FIRST,
    b: SECOND,
    *,
    data: options.DATA,
    per_layer: PER_LAYER = False,
    preprocess: options.PREPROCESS = None,
    samples: options.SAMPLES = None,
    metric: options.METRIC = None,
    label_offset: options.LABEL_OFFSET = 0,
    workers: options.WORKERS = 0,
    json: options.JSON = False,
    quiet: options.QUIET = False,
    debug: options.DEBUG = False,
) -> None:
    """Compare two forms of a model on the same data.

    Float, QDQ or packed, any two.
    """
    from qtool.compare import CompareRequest
    from qtool.compare import compare as run_compare

    asked = partial(CompareRequest, a=a, b=b, data=data, samples=samples, metric=metric)
    asked = partial(asked, preprocess=options.read_preprocess(preprocess), label_offset=label_offset)
    with progress(silent=json or quiet) as tell:
        document = run_compare(asked(per_layer=per_layer, workers=workers), tell)
    show(document, as_json=json, quiet=quiet)
