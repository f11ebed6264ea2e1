"""Pareto fronts of measured plans, and the volume that they dominate."""

from __future__ import annotations

from math import fsum
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from passes.search.point import Point


def pareto_front(points: Iterable[Point], objectives: Sequence[str]) -> tuple[Point, ...]:
    """Return the points that stand and that no other one beats, in rising order of the last objective.

    Of points that are equal in every objective the one of the smallest choices is kept, so that the front
    does not depend on the order in which plans were measured.

    Args:
        points: measured plans.
        objectives: ``loss`` or costs, all of them minimised.
    """
    ordered = sorted(
        (point for point in points if point.stands),
        key=lambda point: (*(point.get(name) for name in reversed(objectives)), point.choices),
    )
    if not ordered:
        return ()
    table = np.array([[point.get(name) for name in objectives] for point in ordered])
    return tuple(point for point, kept in zip(ordered, nondominated(table), strict=True) if kept)


def nondominated(table: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Mark the rows of shape (points, objectives) that no other row beats; of equal rows the first stays."""
    keep = np.ones(len(table), dtype=bool)
    for row, values in enumerate(table):
        as_good = (table <= values).all(axis=1)
        better = as_good & (table < values).any(axis=1)
        keep[row] = not (better.any() or as_good[:row].any())
    return keep


def hypervolume(table: NDArray[np.float64], reference: NDArray[np.float64]) -> float:
    """Return the volume between the rows of a table and a reference point that is worse than they are.

    The space is cut into slabs along the last objective, and each slab has the volume of one dimension less
    (Zitzler's hypervolume by slicing objectives).

    Args:
        table: shape (points, objectives); what is not better than the reference everywhere adds nothing.
        reference: shape (objectives,).
    """
    inside = table[(table < reference).all(axis=1)]
    if not len(inside):
        return 0.0
    inside = inside[np.argsort(inside[:, -1], kind="stable")]
    if inside.shape[1] == 1:
        return float(reference[0] - inside[0, 0])
    heights = np.diff(np.append(inside[:, -1], reference[-1]))
    slabs = (
        height * hypervolume(inside[: row + 1, :-1], reference[:-1])
        for row, height in enumerate(heights)
        if height > 0
    )
    return fsum(slabs)


def knee(table: NDArray[np.float64]) -> int:
    """Return the row that is nearest to the best of all objectives, each scaled to its range on the front.

    Args:
        table: shape (points, objectives), at least one point.
    """
    low, high = table.min(axis=0), table.max(axis=0)
    span = np.where(high > low, high - low, 1.0)
    return int(np.linalg.norm((table - low) / span, axis=1).argmin())
