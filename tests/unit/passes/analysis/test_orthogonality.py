"""Orthogonality by hand: what beta does, and that layers unlike all others count more."""

from __future__ import annotations

import numpy as np
import pytest

from passes.analysis.orthogonality import by_sample, importance, similarity

ORM = np.array([[1.0, 1.0, 0.0], [1.0, 1.0, 0.0], [0.0, 0.0, 1.0]])


def test_alike_features_are_one_and_unlike_ones_zero() -> None:
    a, b = np.array([[1.0, -1.0], [-1.0, 1.0]]), np.zeros((2, 2))
    np.testing.assert_allclose(similarity([a, 3 * a, b]), [[1, 1, 0], [1, 1, 0], [0, 0, 0]])


def test_importance_is_the_mean_of_theta_over_the_tail() -> None:
    # gamma is 1, 1, 0, so that theta is 1/2, 1/2, 1 at beta = ln 2.
    np.testing.assert_allclose(importance(ORM, np.log(2)), [2 / 3, 3 / 4, 1.0])


def test_a_vanishing_beta_is_the_control() -> None:
    np.testing.assert_allclose(importance(ORM, 1e-9), np.ones(3), rtol=1e-8)


def test_the_chosen_beta_spreads_theta_whatever_the_depth() -> None:
    for orm in (ORM, np.kron(ORM, np.ones((9, 9)))):
        found = importance(orm, 0.0)
        assert found.max() == pytest.approx(1.0)
        assert found[-1] > 1.3 * found[0]


def test_layers_that_are_all_alike_are_equally_important() -> None:
    np.testing.assert_allclose(importance(np.ones((4, 4)), 0.0), np.ones(4))


@pytest.mark.parametrize(
    ("shape", "rows"), [((4, 3, 2), 6), ((5, 4, 2), 10), ((8, 3), 6), ((1, 7), 1), ((), 1)]
)
def test_features_lie_by_sample_wherever_a_layer_puts_them(shape: tuple[int, ...], rows: int) -> None:
    output = np.arange(np.prod(shape, dtype=int), dtype=np.float32).reshape(shape)
    found = by_sample(output, 4)
    assert found.shape == (4, rows)
    if shape == (5, 4, 2):
        np.testing.assert_array_equal(found[1], output[:, 1].reshape(-1))
    if rows == 1:
        assert not found.any()
