"""Sums of points: by hand, nearer with every point, on one grid per row; budgets go where they help."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from passes.numerics import short_scale, split_scales
from passes.numerics.multipoint import FINEST, Approximation, Pursuit
from passes.numerics.spend import Offer, spend


def pursuit(hessian: np.ndarray, rows: int, bits: int = 3, sweeps: int = 0, **options: object) -> Pursuit:
    groups, finest = len(hessian), options.pop("finest", FINEST)
    high = (1 << bits - 1) - 1
    return Pursuit(hessian, bits, -high - 1, high, np.full((groups, rows), finest), sweeps=sweeps, **options)  # type: ignore[arg-type]


def problem(seed: int, bits: int = 3) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Weights of 2 groups of 4 rows, correlated inputs, and short scales that cover the weights."""
    rng = np.random.default_rng(seed)
    weight = rng.standard_normal((2, 4, 12))
    inputs = rng.standard_normal((2, 60, 12)) @ rng.standard_normal((2, 12, 12))
    hessian = inputs.transpose(0, 2, 1) @ inputs / 60 + 0.05 * np.eye(12)
    first = short_scale(np.abs(weight).max(axis=2) / ((1 << bits - 1) - 0.5), up=True)
    return weight, hessian, first


def test_what_two_points_hold_they_find() -> None:
    # 8 times (3, -2, 1) and (2, 0, -3), in steps of 0.125.
    weight = 0.125 * np.array([[[24 + 2, -16, 8 - 3]]])
    search = pursuit(np.eye(3)[None], 1)
    one, two = search.approximations(weight, np.array([[1.0]], np.float32), 2)
    assert [codes.tolist() for codes in one.codes] == [[[[3, -2, 1]]]]
    assert one.loss[0, 0] == pytest.approx(0.25**2 + 0.375**2)
    assert two.loss[0, 0] == 0
    np.testing.assert_array_equal(two.values(), weight)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**16), bits=st.integers(2, 6), sweeps=st.sampled_from([0, 2]))
def test_rows_come_nearer_on_one_grid(seed: int, bits: int, sweeps: int) -> None:
    weight, hessian, first = problem(seed, bits)
    search = pursuit(hessian, 4, bits, sweeps)
    found = search.approximations(weight, first, 3)
    assert [len(it.codes) for it in found] == [1, 2, 3]
    losses = np.stack([it.loss for it in found])
    assert losses[1].sum() < losses[0].sum()
    assert losses[2].sum() < losses[1].sum()
    for approximation in found:
        check(approximation, weight, search)


def check(found: Approximation, weight: np.ndarray, search: Pursuit) -> None:
    np.testing.assert_allclose(found.loss, search.energy(weight - found.values()), rtol=1e-6, atol=1e-12)
    assert all(codes.min() >= search.low and codes.max() <= search.high for codes in found.codes)
    scales = np.stack([scale.reshape(-1) for scale in found.scale], axis=1)
    base, multiplier = split_scales(scales, 0)
    np.testing.assert_array_equal(base[:, None] * multiplier, scales)
    assert multiplier.max() <= 128


def test_a_data_aware_last_point_loses_less() -> None:
    weight, hessian, first = problem(5)
    aware, nearest = (
        pursuit(hessian, 4, sweeps=sweeps).approximations(weight, first, 2) for sweeps in (4, 0)
    )
    for better, worse in zip(aware, nearest, strict=True):
        assert better.loss.sum() < worse.loss.sum()


def test_no_coefficient_is_finer_than_allowed() -> None:
    weight, hessian, first = problem(2)
    found = pursuit(hessian, 4, finest=2).approximations(weight, first, 3)
    assert all((scale >= first / 4).all() for scale in found[2].scale)


def test_powers_of_two_stay_powers_of_two() -> None:
    weight, hessian, _ = problem(3)
    found = pursuit(hessian, 4, powers=True).approximations(weight, np.ones((2, 4), np.float32), 3)
    for scale in found[2].scale:
        np.testing.assert_array_equal(np.frexp(scale)[0], 0.5)


def offer(losses: list[list[float]], price: float = 1.0, energy: float = 1.0) -> Offer:
    loss = np.array(losses, dtype=np.float64)
    return Offer(loss, np.full(loss.shape[1], energy), price)


def test_a_threshold_asks_for_the_fewest_points() -> None:
    # Root mean squares of rows: 0.1; 0.4 then 0.2; 0.9, 0.8, 0.7.
    found = offer([[0.01, 0.16, 0.81], [0.0, 0.04, 0.64], [0.0, 0.0, 0.49]]).wanted(0.2)
    assert found.tolist() == [1, 2, 3]


def test_budgets_go_where_noise_falls_most_for_the_price() -> None:
    cheap, dear = offer([[8.0, 4.0], [2.0, 3.0], [1.0, 0.0]]), offer([[9.0], [0.0]], price=2.0, energy=2.0)
    # Gains per price: cheap rows 6/2, then 1/2, and 1/2, then 1/2 (not 3/2 before its first); dear 9/4.
    assert [it.tolist() for it in spend([cheap, dear], 0.0, 0.0)] == [[1, 1], [1]]
    assert [it.tolist() for it in spend([cheap, dear], 0.0, 1.0)] == [[2, 1], [1]]
    assert [it.tolist() for it in spend([cheap, dear], 0.0, 3.0)] == [[2, 1], [2]]
    assert [it.tolist() for it in spend([cheap, dear], 0.0, 100.0)] == [[3, 3], [2]]


def test_rows_with_enough_and_rows_that_gain_nothing_get_no_more() -> None:
    assert spend([offer([[4.0, 1.0], [4.0, 0.0]])], 1.0, 100.0)[0].tolist() == [1, 1]
    assert spend([offer([[4.0, 2.0], [5.0, 1.0], [3.0, 0.5]])], 1.0, 100.0)[0].tolist() == [1, 2]
    assert spend([offer([[1.0, 1.0]])], 0.0, 100.0)[0].tolist() == [1, 1]
