"""Requantization by each rule."""

from __future__ import annotations

import numpy as np
import pytest

from passes.errors import InputError, UsageError
from passes.numerics import RequantRule, Rounding, real_multiplier, requantizer, rule_of_sums

ACC = np.array([-1000, -3, -1, 0, 1, 3, 1000])


def test_fixed_point_has_a_full_mantissa():
    made = requantizer([0.5, 0.75, 3.0])
    np.testing.assert_array_equal(made.multiplier, [1 << 30, 3 << 29, 3 << 29])
    np.testing.assert_array_equal(made.shift, [31, 31, 29])


def test_fixed_point_carries_into_the_next_power():
    made = requantizer(1.0 - 2.0**-40)
    assert made.multiplier / 2.0**made.shift == 1.0
    assert made.multiplier == 1 << 30


def test_tiny_multipliers_lose_mantissa_rather_than_shift_too_far():
    made = requantizer([2.0**-40, 2.0**-100])
    np.testing.assert_array_equal(made.multiplier, [1 << 22, 0])
    np.testing.assert_array_equal(made.shift, [62, 62])


def test_a_wide_accumulator_gets_a_short_mantissa():
    made = requantizer(0.7, acc_bits=48)
    assert made.multiplier < 1 << 15
    assert made.multiplier == round(0.7 * 2**15)


@pytest.mark.parametrize(
    ("rounding", "expected"),
    [
        (Rounding.HALF_EVEN, [-128, -2, 0, 0, 0, 2, 127]),
        (Rounding.HALF_UP, [-128, -1, 0, 0, 1, 2, 127]),
        (Rounding.HALF_AWAY, [-128, -2, -1, 0, 1, 2, 127]),
        (Rounding.FLOOR, [-128, -2, -1, 0, 0, 1, 127]),
    ],
)
def test_fixed_point_rounds_as_asked_and_saturates(rounding, expected):
    np.testing.assert_array_equal(requantizer(0.5).apply(ACC, 0, -128, 127, rounding), expected)


def test_zero_point_is_added_before_the_clamp():
    np.testing.assert_array_equal(requantizer(1.0).apply(np.array([-5, 5, 300]), 10, 10, 255), [10, 15, 255])


def test_channels_broadcast():
    made = requantizer(np.array([1.0, 2.0]).reshape(2, 1))
    np.testing.assert_array_equal(made.apply(np.array([[1, 2], [3, 4]]), 0, 0, 255), [[1, 2], [6, 8]])


def test_gemmlowp_rounds_twice():
    # 0.15 is 0.6 / 4: the first rounding makes 3 * 0.6 = 1.8 into 2, the second 2 / 4 = 0.5 into 1.
    acc = np.array([3, -3])
    real = 0.15
    np.testing.assert_array_equal(requantizer(real).apply(acc, 0, -9, 9), [0, 0])
    made = requantizer(real, rule=RequantRule.GEMMLOWP)
    np.testing.assert_array_equal(made.apply(acc, 0, -9, 9), [1, -1])


def test_gemmlowp_shifts_left_for_large_multipliers():
    made = requantizer(6.0, rule=RequantRule.GEMMLOWP)
    top = 2**31 - 1
    np.testing.assert_array_equal(made.apply(np.array([7, -7]), 0, -top, top), [42, -42])


@pytest.mark.parametrize(("real", "expected"), [(0.3, 25), (0.25, 25), (0.4, 50), (3.0, 400), (1.0, 100)])
def test_power_of_two(real, expected):
    made = requantizer(real, rule=RequantRule.POWER_OF_TWO)
    assert made.apply(np.array([100]), 0, 0, 1000) == expected


def test_float_rounds_half_to_even():
    made = requantizer(0.5, rule=RequantRule.FLOAT)
    np.testing.assert_array_equal(made.apply(ACC, 0, -128, 127), [-128, -2, 0, 0, 0, 2, 127])


def test_float_saturates_what_int64_cannot_hold():
    made = requantizer(2.0**20, acc_bits=40, rule=RequantRule.FLOAT)
    np.testing.assert_array_equal(made.apply(np.array([2**39, -(2**39)]), 0, -128, 127), [127, -128])


def test_float_loses_what_float32_loses():
    acc = np.array([2**24 + 1])
    top = 2**31 - 1
    assert requantizer(1.0, rule=RequantRule.FLOAT).apply(acc, 0, -top, top) == 2**24
    assert requantizer(1.0).apply(acc, 0, -top, top) == 2**24 + 1


@pytest.mark.parametrize("real", [0.0, -1.0, np.nan, np.inf, 2.0**31])
@pytest.mark.parametrize("rule", RequantRule)
def test_impossible_multipliers_are_refused(real, rule):
    with pytest.raises(InputError, match="multipliers must lie in"):
        requantizer([1.0, real], rule=rule)


@pytest.mark.parametrize("acc_bits", [1, 63])
def test_impossible_accumulators_are_refused(acc_bits):
    with pytest.raises(UsageError, match="acc_bits"):
        requantizer(0.01, acc_bits=acc_bits)


def test_float_multipliers_are_rounded_after_each_operation() -> None:
    x, w, y = np.float32(0.011487487), np.float32(0.08319432), np.float32(0.092148)
    scale = np.float64(x) * np.float64(w)
    found = real_multiplier(scale, float(y), rule=RequantRule.FLOAT)
    assert np.float32(found) == found == x * w / y
    assert np.float32(real_multiplier(scale, float(y))) != found
    mean = real_multiplier(scale, float(y), 49.0, RequantRule.FLOAT)
    assert mean == x * w / (np.float32(49) * y)


@pytest.mark.parametrize("rule", list(RequantRule))
def test_a_single_number_is_rescaled_too(rule: RequantRule) -> None:
    rescaled = requantizer(0.5, rule=rule).apply(np.array(8), 1, 0, 255)
    assert rescaled.shape == ()
    assert int(rescaled) == 5


@pytest.mark.parametrize("rule", list(RequantRule))
def test_sums_beyond_32_bits_are_rounded_once(rule: RequantRule) -> None:
    assert rule_of_sums(rule, 2**31 - 1) is rule
    wide = rule_of_sums(rule, 2**31)
    assert wide is (RequantRule.FIXED_POINT if rule is RequantRule.GEMMLOWP else rule)
