from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from passes.search.front import hypervolume, knee, nondominated, pareto_front
from passes.search.point import Evaluation, Point

NAMES = ("loss", "latency_s")


def point(loss: float, cost: float, **changes: object) -> Point:
    made = Point((int(cost),), Evaluation(1 - loss, 10), loss, {"latency_s": cost}, 0.0, 0.0)
    return replace(made, **changes)


def test_a_front_holds_what_nothing_beats_by_rising_cost() -> None:
    best, middle, beaten = point(0.1, 5.0), point(0.3, 2.0), point(0.3, 3.0)
    assert pareto_front([beaten, best, middle], NAMES) == (middle, best)


def test_a_plan_that_failed_breaks_a_budget_or_was_given_up_is_not_on_the_front() -> None:
    lost = [
        point(float("inf"), 1.0, evaluation=Evaluation.failed("it broke")),
        point(0.0, 1.0, excess=0.1),
        point(0.0, 1.0, whole=False),
    ]
    assert pareto_front(lost, NAMES) == ()


def test_of_equal_points_the_smallest_plan_stays_whatever_the_order() -> None:
    first, second = point(0.1, 1.0, choices=(0, 1)), point(0.1, 1.0, choices=(1, 0))
    assert pareto_front([first, second], NAMES) == pareto_front([second, first], NAMES) == (first,)


@pytest.mark.parametrize(
    ("rows", "volume"),
    [
        ([[0.0, 0.0]], 1.0),
        ([[0.5, 0.5]], 0.25),
        ([[0.25, 0.5], [0.5, 0.25]], 0.5),
        ([[0.5, 0.5], [0.75, 0.75]], 0.25),
        ([[0.0, 1.0], [2.0, 0.0]], 0.0),
    ],
)
def test_volumes_that_can_be_drawn(rows: list[list[float]], volume: float) -> None:
    assert hypervolume(np.array(rows), np.ones(2)) == pytest.approx(volume)


@given(st.lists(st.tuples(*[st.integers(0, 4)] * 3), min_size=1, max_size=8))
def test_the_volume_of_boxes_is_the_number_of_cells_that_they_cover(rows: list[tuple[int, ...]]) -> None:
    table = np.array(rows, dtype=float)
    cells = np.stack(np.meshgrid(*[np.arange(5)] * 3), axis=-1).reshape(-1, 1, 3)
    assert hypervolume(table, np.full(3, 5.0)) == (cells >= table).all(axis=2).any(axis=1).sum()


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=10))
def test_what_is_dominated_adds_no_volume(rows: list[tuple[int, ...]]) -> None:
    table, reference = np.array(rows, dtype=float), np.full(2, 5.0)
    kept = table[nondominated(table)]
    assert hypervolume(kept, reference) == hypervolume(table, reference)
    assert len(np.unique(kept, axis=0)) == len(kept)


def test_the_knee_is_near_the_best_of_everything() -> None:
    assert knee(np.array([[0.0, 10.0], [1.0, 1.0], [9.0, 0.0]])) == 1
    assert knee(np.array([[3.0, 3.0]])) == 0
