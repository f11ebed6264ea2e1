"""``qtool analyze``: what each layer costs and how much each precision hurts."""

from __future__ import annotations

from typing import Annotated

import typer

from qtool.cli import options
from qtool.cli.progress import progress
from qtool.cli.quantize import SENSITIVITY
from qtool.cli.render import show

PLANS = Annotated[int, typer.Option(help="Random plans to judge the sensitivity by; 0: none, 200: thorough.")]
COMPARE = Annotated[bool, typer.Option("--compare", help="Judge all sensitivities by these plans.")]


def analyze(  # noqa: PLR0913 - one parameter per option
    model: options.MODEL,
    *,
    calib: options.CALIB,
    target: options.TARGET,
    out: options.FILE_IF_ANY = None,
    preprocess: options.PREPROCESS = None,
    samples: options.SAMPLES = None,
    shape: options.SHAPE = None,
    sensitivity: SENSITIVITY = "scaled",
    quality_plans: PLANS = 0,
    compare: COMPARE = False,
    json: options.JSON = False,
    quiet: options.QUIET = False,
    debug: options.DEBUG = False,
) -> None:
    """Measure sensitivity and cost of every layer.

    Both at every precision that the target runs.
    """
    from passes.allocation.quantities import parse_shapes
    from passes.errors import unknown_name
    from qtool.analyze import run_analyze
    from qtool.output_folder import check_output_file
    from qtool.request import SENSITIVITIES

    if sensitivity not in SENSITIVITIES:
        raise unknown_name("sensitivity", sensitivity, SENSITIVITIES)
    if out is not None:
        check_output_file(out)
    steps = options.read_preprocess(preprocess)
    with progress(silent=json or quiet) as tell:
        judged = quality_plans, compare, parse_shapes(shape or ())
        document = run_analyze(model, calib, target, steps, samples, sensitivity, out, *judged, tell)
    if not json:
        shown = ("model_sha256", "target", "ranking", "quality")
        document = {key: document[key] for key in shown if key in document}
    show(document, as_json=json, quiet=quiet)
