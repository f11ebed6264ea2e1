"""What a search without a front ends with: the reason as an error, when all files are written."""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING

from passes.allocation.problem import LOSS
from passes.errors import AccuracyError, InfeasibleError, ModelError

if TYPE_CHECKING:
    from passes.allocation.budget import Budget
    from passes.search.point import Point
    from qtool.exploration.request import SearchRequest
    from qtool.exploration.run import SearchRun

MORE = "give more --evaluations, or --solver sweep, which looks for plans within budgets"


def check_found(request: SearchRequest, run: SearchRun) -> None:
    """Refuse an empty front.

    Raises:
        ModelError: no plan could be measured.
        InfeasibleError: no plan that was measured meets the budgets on costs.
        AccuracyError: none of those that do is within ``--max-drop``.
    """
    points, out = run.result.points, request.base.out
    if run.result.front:
        return
    if points and all(point.evaluation.failure for point in points):
        raise ModelError(f"none of {len(points)} plans could be measured: {points[0].evaluation.failure}")
    known = [point for point in points if point.whole and isfinite(point.loss)]
    within = [point for point in known if not _missed(point, run.task.budgets)]
    if not within:
        raise InfeasibleError(
            f"none of {len(known)} plans that were measured meets the budgets{_nearest(known, run)}; {MORE}; "
            f"files are written to {out}"
        )
    least = min(point.loss for point in within)
    raise AccuracyError(
        f"none of {len(within)} plans that were measured loses at most {100 * (request.max_drop or 0.0):g} "
        f"points, the best loses {100 * least:.4g}; files are written to {out}"
    )


def _missed(point: Point, budgets: tuple[Budget, ...]) -> list[Budget]:
    """Return the budgets on costs that a plan exceeds."""
    return [it for it in budgets if it.metric != LOSS and point.get(it.metric) > it.limit]


def _nearest(known: list[Point], run: SearchRun) -> str:
    """Say what the plan that exceeds its budgets by least costs; nothing where none was measured."""
    if not known:
        return ""
    point = min(known, key=lambda point: point.excess)
    missed = _missed(point, run.task.budgets)
    used = ", ".join(f"{it.metric} {point.get(it.metric):.9g} of {it.limit:.9g}" for it in missed)
    return f" (the nearest takes {used})"
