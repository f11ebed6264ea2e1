"""``qtool quantize``: the whole compilation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from qtool.cli import options
from qtool.cli.progress import progress
from qtool.cli.render import show

if TYPE_CHECKING:
    from qtool.request import QuantizeRequest

_LIMIT = "absolute with a unit, or relative to uniform 8 bits (0.5x)."
LATENCY = Annotated[str | None, typer.Option(help=f"12ms: {_LIMIT}")]
ENERGY = Annotated[str | None, typer.Option(help=f"3mJ: {_LIMIT}")]
SIZE = Annotated[str | None, typer.Option(help=f"1.5MB of weights: {_LIMIT}")]
BOPS = Annotated[str | None, typer.Option(help=f"2G bit operations: {_LIMIT}")]
MEMORY = Annotated[str | None, typer.Option(help=f"256kB of activations: {_LIMIT}")]
DROP = Annotated[str | None, typer.Option(help="1%: the cheapest plan within these points of the metric.")]
MINIMIZE = Annotated[str | None, typer.Option(help="With --max-drop: latency, energy, size, bops or memory.")]
BITS = Annotated[str | None, typer.Option(help="Widths to choose from, such as 2,4,8 or 8,float.")]
PIN = Annotated[
    list[str] | None, typer.Option(help="PATTERN=w8a8 or =float: fix layers by name or op:Conv; repeatable.")
]
GROUP = Annotated[
    int, typer.Option(help="Input channels that share a weight scale: 16, 32, 64, 128; 0: all.")
]
RANGES = Annotated[str, typer.Option(help="Activation ranges: minmax, percentile, mse or kl.")]
SENSITIVITY = Annotated[
    str,
    typer.Option(help="Estimate of the harm: attribution, scaled, sqnr, kl, bit-planes, ompq or size-only."),
]
QUALITY = Annotated[
    int,
    typer.Option("--quality-plans", help="Random plans that judge the sensitivity; 0: none."),
]
SEGMENT = Annotated[
    str | None,
    typer.Option(help="512MB: calibrate so much of the model at a time, the rest staying in its files."),
]
PRINT = Annotated[bool, typer.Option("--print-pipeline", help="Print the passes of this run and stop.")]
PIPELINE = Annotated[str | None, typer.Option(help="Passes in text form instead of the preset.")]


def quantize(  # noqa: PLR0913 - one parameter per option
    model: options.MODEL,
    *,
    calib: options.CALIB,
    target: options.TARGET,
    out: options.FOLDER,
    eval_: options.EVAL = None,
    max_latency: LATENCY = None,
    max_energy: ENERGY = None,
    max_size: SIZE = None,
    max_bops: BOPS = None,
    max_memory: MEMORY = None,
    max_drop: DROP = None,
    minimize: MINIMIZE = None,
    bits: BITS = None,
    pin: PIN = None,
    group_size: GROUP = 0,
    solver: options.SOLVER = "ilp",
    time_limit: options.TIME_LIMIT = 60.0,
    to: options.FORMS = "qdq,packed",
    preprocess: options.PREPROCESS = None,
    samples: options.SAMPLES = None,
    shape: options.SHAPE = None,
    metric: options.METRIC = None,
    label_offset: options.LABEL_OFFSET = 0,
    ranges: RANGES = "mse",
    sensitivity: SENSITIVITY = "scaled",
    quality_plans: QUALITY = 16,
    pipeline: PIPELINE = None,
    segment_size: SEGMENT = None,
    print_pipeline: PRINT = False,
    seed: options.SEED = 0,
    workers: options.WORKERS = 0,
    force: options.FORCE = False,
    json: options.JSON = False,
    quiet: options.QUIET = False,
    debug: options.DEBUG = False,
) -> None:
    """Compile a model to mixed precision, within budgets.

    Writes the quantized model, the packed artifact, the plan and the reports into a folder.
    """
    given = locals()
    from qtool.keywords import QuantizeOptions, known_options, quantize_request

    request = quantize_request(model, target, out, known_options(given, QuantizeOptions))
    if print_pipeline:
        return _print_pipeline(request)
    return _run(request, as_json=json, quiet=quiet)


def _print_pipeline(request: QuantizeRequest) -> None:
    from qtool.presets import preset_text

    typer.echo(preset_text(request))


def _run(request: QuantizeRequest, *, as_json: bool, quiet: bool) -> None:
    from qtool.cli.summary import show_summary
    from qtool.quantization import run_quantize

    with progress(silent=as_json or quiet) as tell:
        report = run_quantize(request, tell)
    if as_json:
        show(report.to_json(), as_json=True, quiet=False)
    elif not quiet:
        show_summary(report, request.out)
