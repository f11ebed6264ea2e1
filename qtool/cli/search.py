"""``qtool search``: a front of measured plans."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from qtool.cli import options
from qtool.cli.progress import progress
from qtool.cli.quantize import BITS, BOPS, ENERGY, GROUP, LATENCY, MEMORY, PIN, RANGES, SENSITIVITY, SIZE
from qtool.cli.render import show
from qtool.cli.search_progress import search_progress

if TYPE_CHECKING:
    from qtool.exploration.request import SearchRequest

EVAL = Annotated[str, typer.Option("--eval", help="Held-out samples to measure plans on.")]
SOLVER = Annotated[
    str,
    typer.Option(
        help="auto, sweep, nsga2, nsga2-unseeded, quadratic, ompq, amed, amp, haq, annealing or random.",
    ),
]
EVALUATIONS = Annotated[int, typer.Option(help="Different plans to measure.")]
SECONDS = Annotated[float, typer.Option(help="Seconds after which the search stops; inf for no limit.")]
OBJECTIVES = Annotated[
    str | None,
    typer.Option(
        help="loss and one or more of latency, energy, size, bops, memory and measured-latency; by default "
        "the first of them that the target estimates."
    ),
]
DROP = Annotated[str | None, typer.Option(help="1%: plans that lose more points are not on the front.")]
HOPELESS = Annotated[
    str, typer.Option(help="20%: stop measuring a plan that surely loses more points; 0%: never.")
]
WORKERS = Annotated[str, typer.Option(help="Local processes; 0: none; or dask://host:port.")]
BEACONS = Annotated[
    int, typer.Option(help="Plans taken through all passes first; others near them borrow their weights.")
]
TRAIN = Annotated[str | None, typer.Option(help="Samples to fine-tune plans on; extra train.")]
TRAIN_STEPS = Annotated[int, typer.Option(help="Steps of that for each beacon and for the point to lower.")]
FINETUNE = Annotated[
    int, typer.Option(help="Steps of that for every plan before it is measured, as in HAQ's episodes.")
]
SELECT = Annotated[int | None, typer.Option(help="Lower this point of the front, counted from 0.")]
KNEE = Annotated[bool, typer.Option("--knee", help="Lower the point nearest to the best of everything.")]


def search(  # noqa: PLR0913 - one parameter per option
    model: options.MODEL,
    *,
    calib: options.CALIB,
    eval_: EVAL,
    target: options.TARGET,
    out: options.FOLDER,
    solver: SOLVER = "auto",
    evaluations: EVALUATIONS = 200,
    time_limit: SECONDS = float("inf"),
    objectives: OBJECTIVES = None,
    max_drop: DROP = None,
    max_latency: LATENCY = None,
    max_energy: ENERGY = None,
    max_size: SIZE = None,
    max_bops: BOPS = None,
    max_memory: MEMORY = None,
    hopeless: HOPELESS = "0%",
    beacons: BEACONS = 0,
    train: TRAIN = None,
    train_steps: TRAIN_STEPS = 100,
    finetune: FINETUNE = 0,
    bits: BITS = None,
    pin: PIN = None,
    group_size: GROUP = 0,
    select: SELECT = None,
    knee: KNEE = False,
    to: options.FORMS = "qdq,packed",
    preprocess: options.PREPROCESS = None,
    samples: options.SAMPLES = None,
    shape: options.SHAPE = None,
    metric: options.METRIC = None,
    label_offset: options.LABEL_OFFSET = 0,
    ranges: RANGES = "mse",
    sensitivity: SENSITIVITY = "kl",
    seed: options.SEED = 0,
    workers: WORKERS = "0",
    force: options.FORCE = False,
    json: options.JSON = False,
    quiet: options.QUIET = False,
    debug: options.DEBUG = False,
) -> None:
    """Search for the plans of least measured loss at every cost.

    Writes front.json, front.csv, front.svg and report.html. Every measurement is kept in the folder at once:
    the same command goes on where an earlier one was stopped, and measures nothing twice.
    """
    given = locals()
    from qtool.keywords import SearchOptions, known_options, search_request

    _run(search_request(model, target, out, known_options(given, SearchOptions)), as_json=json, quiet=quiet)


def _run(request: SearchRequest, *, as_json: bool, quiet: bool) -> None:
    from qtool.exploration.outcome import check_found
    from qtool.exploration.run import run_search
    from qtool.exploration.write import lower_point, write_search

    silent = as_json or quiet
    with progress(silent=silent) as stage, search_progress(silent=silent) as tell:
        run = run_search(request, stage, tell)
    document, no_picture = write_search(request, run)
    for message in (*run.messages, *([no_picture] if no_picture else [])):
        typer.echo(f"note: {message}", err=True)
    check_found(request, run)
    with progress(silent=silent) as stage:
        folder = lower_point(request, document, stage)
    shown = document if as_json else _short(document) | {"files": str(folder or request.base.out)}
    show(shown, as_json=as_json, quiet=quiet)


def _short(document: dict[str, Any]) -> dict[str, Any]:
    """Return what a terminal has room for."""
    keys = ("target", "solver", "evaluations", "failed", "stopped", "hypervolume", "knee")
    front = [
        {"point": entry["index"], "value": entry["value"], "loss": entry["loss"]}
        | {name: entry["cost"][name] for name in document["objectives"][1:]}
        | {"estimate": entry["estimate"], "bound": entry["estimate_bound"]}
        for entry in document["front"]
    ]
    return {key: document[key] for key in keys} | {"front": front}
