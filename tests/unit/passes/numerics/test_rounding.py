"""Rounding: ties, negative numbers and the ends of the number range."""

from __future__ import annotations

import numpy as np
import pytest

from passes.errors import UsageError
from passes.numerics import MAX_SHIFT, Rounding, round_float, rounding_shift_right

TIES = np.array([-2.5, -1.5, -0.5, 0.5, 1.5, 2.5], dtype=np.float32)
ROUNDED = {
    Rounding.HALF_EVEN: [-2, -2, 0, 0, 2, 2],
    Rounding.HALF_UP: [-2, -1, 0, 1, 2, 3],
    Rounding.HALF_AWAY: [-3, -2, -1, 1, 2, 3],
    Rounding.FLOOR: [-3, -2, -1, 0, 1, 2],
}


@pytest.mark.parametrize("mode", Rounding)
def test_float_ties(mode):
    np.testing.assert_array_equal(round_float(TIES, mode), ROUNDED[mode])


@pytest.mark.parametrize("mode", Rounding)
def test_shift_ties(mode):
    doubled = (TIES * 2).astype(np.int64)
    np.testing.assert_array_equal(rounding_shift_right(doubled, 1, mode), ROUNDED[mode])


@pytest.mark.parametrize("mode", [Rounding.HALF_EVEN, Rounding.HALF_UP, Rounding.HALF_AWAY])
def test_just_below_a_half_goes_down(mode):
    below = np.nextafter(np.float32(0.5), np.float32(0))
    np.testing.assert_array_equal(round_float(np.array([below, -below]), mode), [0, 0])


@pytest.mark.parametrize("mode", Rounding)
def test_float_keeps_what_is_not_finite(mode):
    rounded = round_float(np.array([np.inf, -np.inf, np.nan], dtype=np.float32), mode)
    assert rounded.dtype == np.float32
    np.testing.assert_array_equal(rounded, [np.inf, -np.inf, np.nan])


@pytest.mark.parametrize("mode", Rounding)
def test_shift_by_nothing_changes_nothing(mode):
    x = np.array([-3, -2, 2, 3, 2**63 - 1, -(2**63)])
    np.testing.assert_array_equal(rounding_shift_right(x, 0, mode), x)


def test_shift_does_not_overflow_at_the_ends():
    ends = np.array([2**63 - 1, -(2**63)])
    np.testing.assert_array_equal(rounding_shift_right(ends, MAX_SHIFT, Rounding.HALF_UP), [2, -2])
    np.testing.assert_array_equal(rounding_shift_right(ends, 1, Rounding.HALF_UP), [2**62, -(2**62)])


def test_shift_may_differ_by_element():
    shifted = rounding_shift_right(np.array([[8, 8], [9, 9]]), np.array([1, 3]), Rounding.HALF_UP)
    np.testing.assert_array_equal(shifted, [[4, 1], [5, 1]])


@pytest.mark.parametrize("shift", [-1, 63])
def test_shift_out_of_range_is_refused(shift):
    with pytest.raises(UsageError, match="shift"):
        rounding_shift_right(np.array([1]), shift, Rounding.FLOOR)
