"""Sigmoid and tanh of recurrent steps, over every number that they can meet."""

from __future__ import annotations

import numpy as np
import pytest

from passes.lowering.recurrent import sigmoid_table
from qtool.runtime.gates import Curve

ONE = 1 << 15
EVERY = np.arange(-16 * ONE, 16 * ONE + 1, dtype=np.int64)


@pytest.fixture(scope="module")
def curve() -> Curve:
    return Curve(sigmoid_table())


def test_sigmoid_is_as_close_as_stated(curve: Curve) -> None:
    error = curve.sigmoid(EVERY) / ONE - 1 / (1 + np.exp(-EVERY / ONE))
    assert np.abs(error).max() < 2.8e-5


def test_tanh_is_as_close_as_stated(curve: Curve) -> None:
    error = curve.tanh(EVERY) / ONE - np.tanh(EVERY / ONE)
    assert np.abs(error).max() < 4.0e-5


@pytest.mark.parametrize(
    ("x", "sigmoid", "tanh"), [(0, 0.5, 0.0), (1 << 40, 1.0, 1.0), (-(1 << 40), 0.0, -1.0)]
)
def test_the_middle_and_both_ends_are_exact(curve: Curve, x: int, sigmoid: float, tanh: float) -> None:
    argument = np.array([x], np.int64)
    assert curve.sigmoid(argument) == sigmoid * ONE
    assert curve.tanh(argument) == tanh * ONE


def test_both_rise(curve: Curve) -> None:
    assert np.diff(curve.sigmoid(EVERY)).min() >= 0
    assert np.diff(curve.tanh(EVERY)).min() >= 0
