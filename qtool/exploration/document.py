"""front.json and front.csv: the front of a search, as data."""

from __future__ import annotations

import csv
import io
from math import isfinite
from typing import TYPE_CHECKING, Any

import numpy as np

from passes.allocation import Budget, InfeasibleBudgetError
from passes.allocation.ilp import Ilp
from passes.search.front import knee
from passes.search.point import Evaluation
from qtool import __version__
from qtool.environment import versions
from qtool.estimated_front import uniform_choices

if TYPE_CHECKING:
    from collections.abc import Mapping

    from passes.search.point import Point
    from passes.search.task import SearchTask
    from qtool.exploration.request import SearchRequest
    from qtool.exploration.run import SearchRun

SCHEMA_VERSION = 1
BOUND_S = 5.0
"""Seconds for the bound of one point."""


def front_document(request: SearchRequest, run: SearchRun) -> dict[str, Any]:
    """Return the front.json document; equal searches give equal documents.

    Of every point: its measured ``loss`` (metric of the float model less its own), its costs, the loss that
    the additive estimate expects (``estimate``), and the least estimate that any plan of at most its costs
    has (``estimate_bound``; ``null`` where that was not proven in time, or where a cost is no sum). Of every
    plan that was measured on all samples: loss, costs and estimate. Of uniform plans, besides: their name,
    with a loss where they were measured.
    """
    task, result = run.task, run.result
    base = request.base
    return {
        "schema_version": SCHEMA_VERSION,
        "qtool": __version__,
        "model": {"path": str(base.model), "sha256": run.sha256},
        "target": run.target,
        "solver": request.solver_name,
        "seed": base.seed,
        "metric": {"name": run.metric, "samples": task.samples, "float": task.float_value},
        "objectives": list(task.objectives),
        "budgets": [{"metric": budget.metric, "limit": budget.limit} for budget in task.budgets],
        "evaluations": len(result.points),
        "failed": sum(1 for point in result.points if point.evaluation.failure),
        "stopped": result.stopped,
        "hypervolume": result.hypervolume,
        "knee": knee_of(run),
        "front": [_entry(task, point, index) for index, point in enumerate(result.front)],
        "measured": [_measured(point) for point in result.points if point.whole and isfinite(point.loss)],
        "uniform": _uniform(run),
        "versions": versions(),
    }


def knee_of(run: SearchRun) -> int | None:
    """Return the index of the knee on the front, or ``None`` for an empty front."""
    front, names = run.result.front, run.task.objectives
    if not front:
        return None
    return knee(np.array([[point.get(name) for name in names] for point in front]))


def front_csv(document: dict[str, Any]) -> str:
    """Return front.csv: a line per point, its widths in one column such as ``w4a8 w8a8``."""
    text = io.StringIO()
    names = [*document["front"][0]["cost"]] if document["front"] else []
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["index", "knee", "value", "loss", *names, "precisions"])
    for entry in document["front"]:
        widths = " ".join(f"w{layer['weight_bits']}a{layer['act_bits']}" for layer in entry["layers"])
        costs = [entry["cost"][name] for name in names]
        is_knee = int(entry["index"] == document["knee"])
        writer.writerow([entry["index"], is_knee, entry["value"], entry["loss"], *costs, widths])
    return text.getvalue()


def _entry(task: SearchTask, point: Point, index: int) -> dict[str, Any]:
    layers = [
        {"name": layer.name, "weight_bits": choice.weight_bits, "act_bits": choice.act_bits}
        for layer, at in zip(task.problem.layers, point.choices, strict=True)
        for choice in [layer.choices[at]]
    ]
    return {
        "index": index,
        "value": point.evaluation.value,
        "loss": point.loss,
        "cost": dict(point.costs),
        "estimate": point.estimate,
        "estimate_bound": _bound(task, point),
        "layers": layers,
    }


def _measured(point: Point) -> dict[str, Any]:
    return {"loss": point.loss, "cost": _finite(point.costs), "estimate": point.estimate}


def _finite(costs: Mapping[str, float]) -> dict[str, float]:
    """Leave out what is not known of a plan: a latency that could not be measured."""
    return {metric: value for metric, value in costs.items() if isfinite(value)}


def _uniform(run: SearchRun) -> list[dict[str, Any]]:
    """Return the uniform plans, whose costs are known whether or not they were measured."""
    known = {point.choices: point for point in run.result.points if point.whole}
    entries = []
    for name, choices in uniform_choices(run.task.problem).items():
        point = known.get(choices) or run.task.point(choices, Evaluation.failed("not measured"))
        loss = point.loss if isfinite(point.loss) else None
        known_costs = _finite(point.costs)
        entries.append({"name": name, "loss": loss, "cost": known_costs, "estimate": point.estimate})
    return entries


def _bound(task: SearchTask, point: Point) -> float | None:
    if task.not_summed & set(task.objectives):
        return None
    budgets = [Budget(name, point.get(name)) for name in task.objectives[1:]]
    try:
        found = Ilp().solve(task.problem, budgets, time_limit_s=BOUND_S)
    except InfeasibleBudgetError:
        # The costs of a point are rounded sums; out of time nothing within them may have been found.
        return None
    return found.bound if found.status == "optimal" else None
