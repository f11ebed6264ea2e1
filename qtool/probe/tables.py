"""From measured points to the fits of all tables of a machine file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from hwmodels import Elementwise, Workload
from hwmodels.arrays import LayerArrays
from hwmodels.machines.measured_features import features, kernel_of
from hwmodels.machines.measured_operators import operator_table
from passes.errors import DataError
from qtool.probe.fit import Fit, fit_rates
from qtool.probe.measure import OVERHEAD

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from qtool.probe.journal import Journal
    from qtool.probe.shapes import Point

MAX_NOISE = 0.3
"""Above this, rounds differ so much that their minimum means little."""


@dataclass(frozen=True, slots=True)
class Fits:
    """What was learnt of the machine.

    Attributes:
        tables: fits by the name of their table.
        noise: median over points of how much longer the middle round took than the fastest.
    """

    tables: Mapping[str, Fit]
    noise: float


def fit_tables(points: Sequence[Point], journal: Journal) -> Fits:
    """Fit every table to the fastest round of each point.

    Raises:
        DataError: the machine was too noisy.
    """
    noise = _noise(points, journal)
    if noise > MAX_NOISE:
        raise DataError(
            f"{journal.path}: rounds differ by {noise:.0%}, expected at most {MAX_NOISE:.0%}; end other "
            "programs and measure again with --fresh, or add rounds with --repeat"
        )
    overhead = min(journal.rounds(OVERHEAD))
    grouped: dict[str, list[Point]] = {}
    for point in points:
        grouped.setdefault(table_of(point), []).append(point)
    tables = {}
    for name, members in grouped.items():
        fastest = np.array([min(journal.rounds(point.key)) for point in members])
        # What was fused away was not timed either.
        seconds = np.where(fastest > 0, np.maximum(fastest - overhead, fastest / 10), 0.0)
        tables[name] = fit_rates(_counts(members), seconds)
    return Fits(tables, noise)


def table_of(point: Point) -> str:
    """Return the table of the machine file that a point belongs to."""
    work = point.shape.work
    if isinstance(work, Workload):
        return f"{kernel_of(work)}_{point.precision}"
    return operator_table(work.op, point.precision.act_bits)


def _counts(points: Sequence[Point]) -> NDArray[np.float64]:
    works = [point.shape.work for point in points]
    layers = [work for work in works if isinstance(work, Workload)]
    if layers:
        return features(LayerArrays.of(layers))[:, :, 0].T
    steps = [work for work in works if isinstance(work, Elementwise)]
    return np.array([(1.0, step.in_elements, step.out_elements) for step in steps])


def _noise(points: Sequence[Point], journal: Journal) -> float:
    excess = []
    for point in points:
        rounds = journal.rounds(point.key)
        if min(rounds) > 0:
            excess.append(float(np.median(rounds)) / min(rounds) - 1)
    return float(np.median(excess))
