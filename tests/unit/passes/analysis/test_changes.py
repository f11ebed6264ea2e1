"""Distances between outputs, by hand."""

from __future__ import annotations

import re

import numpy as np
import pytest

from passes.analysis.changes import Change, OutputReference, Power, log_probabilities, reason_without_logits

LOGITS = np.log(np.array([[0.5, 0.5], [0.75, 0.25]], np.float32))


def test_noise_is_the_energy_of_the_difference() -> None:
    reference = OutputReference([np.array([[1.0], [3.0]], np.float32), np.array([[5], [6]])])
    assert reference.change([np.array([[1.0], [0.0]], np.float32), np.array([[0], [0]])]) == Change(9.0, 0.0)
    assert reference.rows == 0


def test_power_is_around_the_mean_of_all_batches() -> None:
    values = np.array([[1.0, 5.0], [3.0, 5.0], [8.0, 7.0]], np.float32)
    power = Power()
    for batch in (values[:2], values[2:]):
        power.add([batch, np.array([[1], [2]])])
    assert power.total == pytest.approx(9 + 1 + 16 + 4 / 9 + 4 / 9 + 16 / 9)


def test_a_number_without_axes_is_one_sample() -> None:
    power = Power()
    for value in (1.0, 3.0):
        power.add([np.array(value, np.float32)])
    assert power.total == pytest.approx(2)


def test_outputs_that_change_their_shape_have_a_mean_for_each() -> None:
    power = Power()
    for width in (1, 2, 1):
        power.add([np.full((2, width), float(width), np.float32)])
    assert power.total == 0


def test_divergence_is_that_of_kullback_and_leibler() -> None:
    reference = OutputReference([LOGITS])
    other = np.log(np.array([[0.25, 0.75], [0.75, 0.25]], np.float32)) + 7
    expected = 0.5 * np.log(2) + 0.5 * np.log(0.5 / 0.75)
    assert reference.change([other]).divergence == pytest.approx(expected, rel=1e-5)
    assert reference.rows == 2
    assert reference.change([LOGITS - 3]).divergence == pytest.approx(0, abs=1e-6)


def test_shares_are_not_taken_for_logits() -> None:
    shares = np.exp(LOGITS)
    np.testing.assert_allclose(log_probabilities(shares), LOGITS, rtol=1e-6)
    np.testing.assert_allclose(log_probabilities(LOGITS + 4), LOGITS, atol=1e-6)


@pytest.mark.parametrize(
    ("outputs", "reason"),
    [
        ([LOGITS], ""),
        ([LOGITS, np.array([1])], ""),
        ([LOGITS, LOGITS], "2 floating-point outputs"),
        ([np.zeros((4, 1), np.float32)], r"shape \[4, 1\]"),
        ([np.zeros(4, np.float32)], r"shape \[4\]"),
    ],
)
def test_outputs_that_are_no_distributions_are_named(outputs: list[np.ndarray], reason: str) -> None:
    found = reason_without_logits(outputs)
    assert bool(found) == bool(reason)
    assert re.search(reason, found)


def test_changes_add_up() -> None:
    assert Change(1, 2) + Change(3, 4) == Change(4, 6)


def test_samples_of_shapes_of_their_own_have_energy() -> None:
    power = Power()
    for size in (3, 4):
        power.add([np.arange(size, dtype=np.float32)[None]])
    assert power.total == pytest.approx(2 + 5)
