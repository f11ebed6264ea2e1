"""The fit finds the rates that made the times."""

from __future__ import annotations

import numpy as np
import pytest

from qtool.probe.fit import fit_rates


def test_exact_times_give_back_their_rates(rng: np.random.Generator) -> None:
    counts = np.exp(rng.uniform(0, 12, size=(40, 3)))
    rates = np.array([1e-6, 0.0, 3e-9])
    fit = fit_rates(counts, counts @ rates)
    assert fit.rates == pytest.approx(rates, rel=1e-6, abs=1e-15)
    assert fit.points == 40
    assert fit.p90_error < 1e-6


def test_errors_are_those_of_points_held_out(rng: np.random.Generator) -> None:
    counts = np.exp(rng.uniform(0, 12, size=(70, 2)))
    seconds = counts @ np.array([1e-6, 2e-9]) * rng.uniform(0.8, 1.2, size=70)
    fit = fit_rates(counts, seconds)
    assert 0.05 < fit.median_error < 0.15
    assert fit.median_error < fit.p90_error < 0.35


def test_rates_are_never_negative() -> None:
    fit = fit_rates(np.array([[1.0, 1.0], [1.0, 2.0], [1.0, 3.0]]), np.array([3.0, 2.0, 1.0]))
    assert (fit.rates >= 0).all()


def test_no_time_at_all_is_free() -> None:
    fit = fit_rates(np.ones((4, 2)), np.zeros(4))
    assert fit.free
    assert fit.points == 0


def test_a_single_point_is_met() -> None:
    fit = fit_rates(np.array([[2.0]]), np.array([6.0]))
    assert fit.rates == pytest.approx([3.0])
    assert fit.points == 1
