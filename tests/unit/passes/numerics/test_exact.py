"""Exact requantization equals rational arithmetic, ties included, or is refused."""

from __future__ import annotations

from fractions import Fraction
from math import ceil, floor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from passes.numerics import Rounding, exact_requantizer
from passes.numerics.exact import significant_bits

SHORT = st.builds(lambda mantissa, power: mantissa * 2.0**power, st.integers(8, 15), st.integers(-40, 10))
"""Scales of four significant bits."""
LARGEST = 2**30


def rounded(value: Fraction, rounding: Rounding) -> int:
    """Round a rational number by the definition of each rule."""
    half = Fraction(1, 2)
    return {
        Rounding.HALF_EVEN: round(value),
        Rounding.HALF_UP: floor(value + half),
        Rounding.HALF_AWAY: floor(value + half) if value >= 0 else ceil(value - half),
        Rounding.FLOOR: floor(value),
    }[rounding]


@pytest.mark.parametrize("rounding", list(Rounding))
@given(acc=st.integers(-LARGEST, LARGEST), scale=SHORT, other=SHORT, divisor=SHORT)
def test_every_fraction_is_rounded_as_a_rational_number(
    rounding: Rounding, acc: int, scale: float, other: float, divisor: float
) -> None:
    exact = exact_requantizer(scale * other, divisor, LARGEST)
    assert exact is not None
    codes = exact.apply(np.array([acc]), 3, -(2**50), 2**50, rounding)
    value = Fraction(acc) * Fraction(scale) * Fraction(other) / Fraction(divisor)
    limit = 2**50
    assert int(codes[0]) == min(max(rounded(value, rounding) + 3, -limit), limit)


@pytest.mark.parametrize("rounding", list(Rounding))
@given(odd=st.integers(-(2**20), 2**20).map(lambda n: 2 * n + 1), factor=st.integers(8, 15))
def test_ties_are_ties(rounding: Rounding, odd: int, factor: int) -> None:
    exact = exact_requantizer(factor / 2, factor, 2**22)
    assert exact is not None
    (code,) = exact.apply(np.array([odd]), 0, -(2**22), 2**22, rounding)
    assert code == rounded(Fraction(odd, 2), rounding)


def test_codes_saturate_after_the_zero_point() -> None:
    exact = exact_requantizer([1.0, 2.0], 4.0, 1000)
    assert exact is not None
    codes = exact.apply(np.array([[-1000, -1000], [6, 6], [1000, 1000]]), 10, 0, 15, Rounding.HALF_EVEN)
    np.testing.assert_array_equal(codes, [[0, 0], [12, 13], [15, 15]])


@pytest.mark.parametrize(("scale", "possible"), [(1.0, True), (1 + 2.0**-20, True), (1 + 2.0**-30, False)])
def test_more_than_53_bits_are_refused(scale: float, possible: bool) -> None:
    assert (exact_requantizer(scale, 1.0, 2**24) is not None) == possible


@pytest.mark.parametrize(
    ("value", "bits"), [(1.0, 1), (0.5, 1), (3.0, 2), (2.0**-100, 1), (1 + 2.0**-52, 53), (0.1, 52)]
)
def test_significant_bits_leave_out_trailing_zeros(value: float, bits: int) -> None:
    assert significant_bits(np.array([value])) == bits
