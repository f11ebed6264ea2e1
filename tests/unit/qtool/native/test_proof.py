"""When one multiplication stands for a division."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from qtool.runtime.native.proof import multiplication_is_exact


def proved(scale, divisor, largest=1 << 20, reach=255):
    return multiplication_is_exact(np.array([scale]), np.array([divisor]), largest, reach)


def test_a_power_of_two_is_exact():
    assert proved(0.125, 2.0)


def test_a_third_is_exact():
    # 3 is odd, so there are no ties, and no fraction over 3 is near one.
    assert proved(1.0, 3.0)


def test_a_denominator_beyond_the_error_is_not_proved():
    # 1 / (2**50 + 1) lies closer to a tie than float64 resolves near 255.
    assert not proved(1.0, 2.0**50 + 1)


def test_a_tie_that_the_ratio_misses_is_found():
    # 49 / 98 is a tie at T = 49, but the product of 49 with the rounded 1 / 98 is below one half.
    assert 49 * (1.0 / 98.0) != 0.5
    assert not proved(1.0, 98.0)
    assert proved(1.0, 98.0, largest=48)


@given(st.integers(1, 511), st.integers(1, 511), st.integers(0, 12))
def test_where_it_is_proved_it_is_exact(above, below, shift):
    scale, divisor = above * 2.0**-shift, float(below)
    if not proved(scale, divisor, largest=3000):
        return
    sums = np.arange(-3000, 3001)
    found = np.clip(np.rint(sums * (scale / divisor)), -255, 255)
    exact = [round(Fraction(int(total)) * Fraction(scale) / below) for total in sums[::7]]
    np.testing.assert_array_equal(found[::7], np.clip(exact, -255, 255))
