"""``qtool search``: a front of measured plans."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from qtool.cli import options
from qtool.cli.progress import progress
from qtool.cli.quantize import BITS, BOPS, ENERGY, GROUP, LATENCY, PIN, RANGES, SENSITIVITY, SIZE
from qtool.cli.render import show
from qtool.cli.search_progress import search_progress

if TYPE_CHECKING:
    from passes.allocation.quantities import BudgetRequest
    from qtool.search.request import SearchRequest

EVAL = Annotated[str, typer.Option("--eval", help="Held-out samples to measure plans on.")]
SOLVER = Annotated[
    str,
    typer.Option(
        help="auto, sweep, nsga2, nsga2-unseeded, quadratic, ompq, amed, amp, haq, annealing or random.",
    ),
]
EVALUATIONS = Annotated[int, typer.Option(help="Different plans to measure.")]
SECONDS = Annotated[float, typer.Option(help="Seconds after which the search stops; inf for no limit.")]
OBJECTIVES = Annotated[str, typer.Option(help="loss and one or more of latency, energy, size, bops, memory.")]
DROP = Annotated[str | None, typer.Option(help="1%: plans that lose more points are not on the front.")]
HOPELESS = Annotated[
    str, typer.Option(help="20%: stop measuring a plan that surely loses more points; 0%: never.")
]
WORKERS = Annotated[str, typer.Option(help="Local processes; 0: none; or dask://host:port.")]
BEACONS = Annotated[
    int, typer.Option(help="Plans taken through all passes first; others near them borrow their weights.")
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
    objectives: OBJECTIVES = "loss,latency",
    max_drop: DROP = None,
    max_latency: LATENCY = None,
    max_energy: ENERGY = None,
    max_size: SIZE = None,
    max_bops: BOPS = None,
    hopeless: HOPELESS = "0%",
    beacons: BEACONS = 0,
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
    sensitivity: SENSITIVITY = "scaled",
    seed: options.SEED = 0,
    workers: WORKERS = "0",
    force: options.FORCE = False,
    json: options.JSON = False,
    quiet: options.QUIET = False,
    debug: options.DEBUG = False,
) -> None:
    """Search for the plans of least measured loss at every cost.

    Writes front.json, front.csv and front.svg. Every measurement is kept in the folder at once: the same
    command goes on where an earlier one was stopped, and measures nothing twice.
    """
    from passes.allocation import quantities as q
    from qtool.request import QuantizeRequest
    from qtool.search.request import SearchRequest, parse_workers

    asked = partial(QuantizeRequest, model=model, calib=calib, target=target, out=out, eval=eval_)
    asked = partial(asked, samples=samples, metric=metric, label_offset=label_offset, group_size=group_size)
    asked = partial(asked, preprocess=options.read_preprocess(preprocess), ranges=ranges, seed=seed)
    # The folder may hold files: those of the search that is resumed, which SearchRequest checks.
    asked = partial(asked, shapes=q.parse_shapes(shape or ()), pins=tuple(map(q.parse_pin, pin or ())))
    asked = partial(asked, budgets=_budgets(max_latency, max_energy, max_size, max_bops), force=True)
    base = asked(forms=q.parse_names(to), sensitivity=sensitivity, bits=q.parse_bits(bits) if bits else ())
    processes, cluster = parse_workers(workers)
    searched = partial(SearchRequest, base=base, solver=solver, processes=processes, cluster=cluster)
    searched = partial(searched, evaluations=evaluations, time_limit_s=time_limit, force=force, knee=knee)
    searched = partial(searched, objectives=q.parse_names(objectives), select=select, beacons=beacons)
    drop = None if max_drop is None else q.parse_drop(max_drop)
    _run(searched(max_drop=drop, hopeless=q.parse_drop(hopeless)), as_json=json, quiet=quiet)


def _budgets(*texts: str | None) -> tuple[BudgetRequest, ...]:
    """Read the limits on latency, energy, size and bit operations, in this order."""
    from passes.allocation import quantities as q

    metrics = list(q.METRICS.values())[: len(texts)]
    given = zip(metrics, texts, strict=True)
    return tuple(q.parse_budget(metric, text) for metric, text in given if text is not None)


def _run(request: SearchRequest, *, as_json: bool, quiet: bool) -> None:
    from qtool.search.run import run_search
    from qtool.search.write import lower_point, write_search

    silent = as_json or quiet
    with progress(silent=silent) as stage, search_progress(silent=silent) as tell:
        run = run_search(request, stage, tell)
    document, no_picture = write_search(request, run)
    for message in (*run.messages, *([no_picture] if no_picture else [])):
        typer.echo(f"note: {message}", err=True)
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
