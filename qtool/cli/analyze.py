"""``qtool analyze``: what each layer costs and how much each precision hurts."""

from __future__ import annotations

from functools import partial
from typing import Annotated

import typer

from qtool.cli import options
from qtool.cli.progress import progress
from qtool.cli.quantize import SENSITIVITY
from qtool.cli.render import show

PLANS = Annotated[int, typer.Option(help="Random plans to judge the sensitivity by; 0: none, 200: thorough.")]
COMPARE = Annotated[bool, typer.Option("--compare", help="Judge all sensitivities by these plans.")]

FLOATS = Annotated[
    bool, typer.Option("--float-safety", help="Tell which layers are unsafe in fp16, bf16 and fp8.")
]


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
    float_safety: FLOATS = False,
    json: options.JSON = False,
    quiet: options.QUIET = False,
    debug: options.DEBUG = False,
) -> None:
    """Measure sensitivity and cost of every layer.

    Both at every precision that the target runs.
    """
    from passes.allocation.quantities import parse_shapes
    from qtool.analysis import AnalyzeRequest, run_analyze
    from qtool.output_folder import check_output_file

    if out is not None:
        check_output_file(out)
    asked = partial(AnalyzeRequest, model=model, calib=calib, target=target, samples=samples, out=out)
    asked = partial(asked, preprocess=options.read_preprocess(preprocess), shapes=parse_shapes(shape or ()))
    asked = partial(asked, quality_plans=quality_plans, compare=compare, float_safety=float_safety)
    request = asked(sensitivity=sensitivity)
    with progress(silent=json or quiet) as tell:
        document = run_analyze(request, tell)
    if not json:
        shown = ("model_sha256", "target", "ranking", "quality", "float_safety")
        document = {key: document[key] for key in shown if key in document}
    show(document, as_json=json, quiet=quiet)
