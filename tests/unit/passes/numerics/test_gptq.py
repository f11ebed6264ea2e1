"""Rounding by second moments: hand-made cases, and what holds for all."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from passes.numerics.gptq import Grid, Rounder, damped, descend, loss

UNIT = Grid(np.ones((1, 1, 1)), -8, 7)


def moments(seed: int, depth: int, groups: int = 1) -> np.ndarray:
    """Second moments of correlated vectors."""
    rng = np.random.default_rng(seed)
    vectors = rng.standard_normal((groups, 4 * depth, depth)) @ rng.standard_normal((groups, depth, depth))
    return damped(vectors.transpose(0, 2, 1) @ vectors / (4 * depth), 0.01)


def test_the_error_of_a_column_goes_to_the_next() -> None:
    # Both inputs are nearly equal, so only the sum of the weights counts: 0.4 + 0.4 is best met by 0 + 1.
    hessian = np.array([[[1.0, 0.99], [0.99, 1.0]]])
    weight = np.array([[[0.4, 0.4]]])
    assert UNIT.nearest(weight, UNIT.scale).tolist() == [[[0.0, 0.0]]]
    assert Rounder(hessian, act_order=False).codes(weight, UNIT).tolist() == [[[0.0, 1.0]]]


def test_columns_of_large_moments_are_rounded_first() -> None:
    hessian = np.array([[[1.0, 1.9], [1.9, 4.0]]])
    weight = np.array([[[0.4, 0.4]]])
    # The second column rounds to 0; the first then takes up 0.4 * 1.9 on top of its own 0.4.
    assert Rounder(hessian).codes(weight, UNIT).tolist() == [[[1.0, 0.0]]]


@given(st.integers(0, 1000), st.integers(1, 300))
@settings(max_examples=20, deadline=None)
def test_without_correlation_it_is_rounding_to_the_nearest(seed: int, depth: int) -> None:
    rng = np.random.default_rng(seed)
    hessian = np.diag(rng.uniform(0.1, 10.0, depth))[None]
    weight = rng.uniform(-9.0, 9.0, (1, 3, depth))
    np.testing.assert_array_equal(Rounder(hessian).codes(weight, UNIT), np.clip(np.rint(weight), -8, 7))


@given(st.integers(0, 1000), st.integers(1, 4))
@settings(max_examples=20, deadline=None)
def test_descent_never_makes_it_worse_and_ends_where_no_single_step_helps(seed: int, groups: int) -> None:
    rng = np.random.default_rng(seed)
    hessian, weight = moments(seed, 6, groups), rng.uniform(-4, 4, (groups, 5, 6))
    start = UNIT.nearest(weight, UNIT.scale)
    found = descend(weight, hessian, UNIT, start, 100)
    assert (loss(weight, hessian, UNIT, found) <= loss(weight, hessian, UNIT, start) + 1e-9).all()
    for column, step in product(range(6), (-1.0, 1.0)):
        moved = found.copy()
        moved[:, :, column] = np.clip(moved[:, :, column] + step, UNIT.low, UNIT.high)
        assert (loss(weight, hessian, UNIT, found) <= loss(weight, hessian, UNIT, moved) + 1e-9).all()


def test_it_comes_near_the_best_of_all_integers() -> None:
    grid = Grid(np.ones((1, 1, 1)), -1, 1)
    choices = np.array(list(product((-1.0, 0.0, 1.0), repeat=6)))[None]
    totals = np.zeros(3)
    for seed in range(20):
        hessian, weight = moments(seed, 6), np.random.default_rng(seed).uniform(-1, 1, (1, 1, 6))
        found = descend(weight, hessian, grid, Rounder(hessian).codes(weight, grid), 10)
        every = loss(np.broadcast_to(weight, choices.shape), hessian, grid, choices)
        nearest = loss(weight, hessian, grid, grid.nearest(weight, grid.scale))
        totals += [every.min(), loss(weight, hessian, grid, found)[0, 0], nearest[0, 0]]
    best, reached, plain = totals
    assert best <= reached <= best + 0.2 * (plain - best)


def test_blocks_do_not_change_the_result(monkeypatch: pytest.MonkeyPatch) -> None:
    hessian, weight = moments(3, 20, 2), np.random.default_rng(3).uniform(-4, 4, (2, 4, 20))
    whole = Rounder(hessian).codes(weight, UNIT)
    monkeypatch.setattr("passes.numerics.gptq.BLOCK", 3)
    np.testing.assert_array_equal(Rounder(hessian).codes(weight, UNIT), whole)


def test_a_dead_column_is_rounded_to_the_nearest_and_moves_no_other() -> None:
    hessian = np.zeros((1, 3, 3))
    hessian[0, :2, :2] = [[2.0, 1.0], [1.0, 2.0]]
    found = damped(hessian, 0.01)
    assert np.linalg.eigvalsh(found[0]).min() > 0
    weight = np.array([[[1.0, 2.0, 3.4]]])
    assert Rounder(found).codes(weight, UNIT).tolist() == [[[1.0, 2.0, 3.0]]]


def test_moments_of_nothing_are_those_of_independent_columns() -> None:
    np.testing.assert_array_equal(damped(np.zeros((1, 2, 2)), 0.1), np.eye(2)[None])
