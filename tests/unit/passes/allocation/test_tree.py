from __future__ import annotations

import numpy as np
import pytest

from passes.allocation.tree import OptionTree


@pytest.fixture
def tree():
    """One free layer with two options, and two layers that share act bits with two branches."""
    return OptionTree(np.array([0, 0, 1, 1, 2, 3, 4, 4]), np.array([0, 1, 1, 2, 2]), np.array([0, 1, 1]))


SCORE = np.array([3.0, 1.0, 5.0, 4.0, 4.0, 6.0, 9.0, 1.0])


def test_minimise_takes_the_best_branch(tree):
    # The first branch costs 4 + 4, the second 6 + 1.
    total, taken = tree.minimise(SCORE)
    assert total == 1.0 + 7.0
    assert taken.tolist() == [1, 5, 7]


def test_forced_is_the_rise_of_the_total(tree):
    assert tree.forced(SCORE).tolist() == [2.0, 0.0, 2.0, 1.0, 1.0, 0.0, 8.0, 0.0]


def test_equal_scores_take_the_first(tree):
    assert tree.minimise(np.zeros(8))[1].tolist() == [0, 2, 4]


def test_restrict_drops_branches_that_lose_a_cell(tree):
    keep = np.ones(8, dtype=bool)
    keep[5] = False
    small, kept = tree.restrict(keep)
    assert kept.tolist() == [0, 1, 2, 3, 4]
    assert small.cell.tolist() == [0, 0, 1, 1, 2]
    assert small.branch.tolist() == [0, 1, 1]
    assert small.components == 2


def test_restrict_can_lose_a_component(tree):
    small, kept = tree.restrict(np.array([0, 0, 1, 1, 1, 1, 1, 1], dtype=bool))
    assert small.components == 1
    assert kept.tolist() == [2, 3, 4, 5, 6, 7]
