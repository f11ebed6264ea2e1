"""``qtool weights``: weight-only quantization of models of any size."""

from __future__ import annotations

from typing import Annotated

import typer

from qtool.cli import options
from qtool.cli.progress import progress
from qtool.cli.render import show

BITS = Annotated[int, typer.Option(help="Bits of a weight: 2, 4 or 8.")]
GROUP = Annotated[int, typer.Option(help="Input channels that share a scale: 16, 32, 64, 128 or 256.")]
RANGES = Annotated[str, typer.Option(help="How scales are chosen: minmax, or mse, which takes long.")]


def weights(  # noqa: PLR0913 - one parameter per option
    model: options.MODEL,
    *,
    out: options.FOLDER,
    bits: BITS = 4,
    group_size: GROUP = 32,
    ranges: RANGES = "minmax",
    force: options.FORCE = False,
    json: options.JSON = False,
    quiet: options.QUIET = False,
    debug: options.DEBUG = False,
) -> None:
    """Store the weights of matrix products as integers.

    Needs no data, and hardly any memory: weights are read, quantized and written one after the other.
    """
    from qtool.weights import WeightsRequest, run_weights

    request = WeightsRequest(model, out, bits, group_size, ranges, force)
    with progress(silent=json or quiet) as tell:
        document = run_weights(request, tell)
    show(document, as_json=json, quiet=quiet)
