"""When a multiplication stands for a division, once it is snapped to a grid."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from passes.numerics import Rounding, round_float
from qtool.runtime.native.proof import snap_is_exact

SNAPPER = 1536.0
REACH = 255
SHORT = st.builds(math.ldexp, st.integers(1, 511), st.integers(-40, 0))


def proved(scale, divisor):
    return snap_is_exact(np.array([scale]), np.array([divisor]))


def snapped(sums, scale, divisor, rounding):
    product = np.asarray(sums, np.float64) * (scale / divisor)
    return np.clip(round_float((product + SNAPPER) - SNAPPER, rounding), -REACH, REACH)


def exact(total, scale, divisor, rounding):
    value = total * Fraction(scale) / Fraction(divisor)
    up, down = math.floor(value + Fraction(1, 2)), math.ceil(value - Fraction(1, 2))
    found = {
        Rounding.HALF_EVEN: round(value),
        Rounding.HALF_UP: up,
        Rounding.HALF_AWAY: up if value >= 0 else down,
        Rounding.FLOOR: math.floor(value),
    }[rounding]
    return min(max(found, -REACH), REACH)


@pytest.mark.parametrize(
    ("scale", "divisor"), [(0.125, 2.0), (1.0, 3.0), (1.0, 2.0**41), (2.0**60, 3 * 2.0**90)]
)
def test_a_denominator_up_to_the_grid_is_proved(scale, divisor):
    assert proved(scale, divisor)


@pytest.mark.parametrize(("scale", "divisor"), [(1.0, 2.0**42), (1.0, 2.0**41 + 1), (2.0**-1000, 3.0)])
def test_a_denominator_beyond_the_grid_is_not(scale, divisor):
    assert not proved(scale, divisor)


def test_the_fraction_is_taken_in_lowest_terms():
    assert proved(3 * 2.0**41, 9 * 2.0**80)
    assert not proved(5 * 2.0**41, 9 * 2.0**80)


def test_one_channel_without_a_proof_is_enough():
    assert not snap_is_exact(np.array([1.0, 1.0]), np.array([3.0, 2.0**50]))


def test_a_tie_that_the_ratio_misses_is_restored():
    # 49 / 98 is a tie at T = 49, but the product of 49 with the rounded 1 / 98 is below one half.
    assert 49 * (1.0 / 98.0) < 0.5
    assert proved(1.0, 98.0)
    for rounding, code in ((Rounding.HALF_UP, 1), (Rounding.HALF_AWAY, 1), (Rounding.HALF_EVEN, 0)):
        assert snapped([49], 1.0, 98.0, rounding) == [code]


def test_a_whole_number_that_the_ratio_misses_is_restored():
    assert 49 * (1.0 / 49.0) < 1.0
    assert snapped([49], 1.0, 49.0, Rounding.FLOOR) == [1]


@pytest.mark.parametrize("rounding", Rounding)
def test_the_nearest_neighbours_of_ties_are_not_taken_for_ties(rounding):
    # T / Q with the greatest Q: one unit from a tie is 2**-41, two steps of the grid; from an integer too.
    scale, divisor, half = 1.0, 2.0**41, 1 << 40
    sums = [
        sign * (odd * half + step)
        for odd in (0, 1, 2, 3, 509, 511)
        for step in (-1, 0, 1)
        for sign in (-1, 1)
    ]
    found = snapped(sums, scale, divisor, rounding)
    assert found.tolist() == [exact(total, scale, divisor, rounding) for total in sums]


@given(SHORT, SHORT, st.sampled_from(Rounding), st.integers(-300, 300), st.integers(-3, 3))
def test_where_it_is_proved_it_is_the_rounded_fraction(scale, divisor, rounding, halves, step):
    if not proved(scale, divisor):
        return
    # The sum that lies nearest to a boundary, and some around it.
    total = round(Fraction(halves, 2) * Fraction(divisor) / Fraction(scale)) + step
    if abs(total) < 2**53:
        assert snapped([total], scale, divisor, rounding) == [exact(total, scale, divisor, rounding)]
