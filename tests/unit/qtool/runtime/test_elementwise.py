"""Sums, products, tables and requantization of codes."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest


def test_hand_made_add_rounds_once(run_one, info):
    # 0.5 * 1 + 0.25 * 1 = 0.75, in units of 0.5: 1.5, ties to even: 2. Rounding each would give 1 + 0.
    infos = [info("a", 1, scale=0.5, zero=10), info("b", 1, scale=0.25, zero=20)]
    out = run_one("add", [[11, 9, 255], [21, 20, 255]], infos, info("y", 1, scale=0.5, zero=3))
    np.testing.assert_array_equal(out, [5, 2, 255])


@pytest.mark.parametrize(("op", "sign"), [("add", 1), ("sub", -1)])
def test_sums_equal_exact_rational_rounding(rng, run_one, info, op, sign):
    a, b = rng.integers(0, 256, (4, 1, 9)), rng.integers(-128, 128, (3, 1))
    b_scale = float(np.float32(0.0071))
    infos = [info("a", 3, scale=0.123046875, zero=77), info("b", 2, signed=True, scale=b_scale, zero=4)]
    y = info("y", 3, signed=True, scale=float(np.float32(0.2)), zero=-11)
    out = run_one(op, [a, b], infos, y, lo=-100, hi=90)
    assert out.shape == (4, 3, 9)
    for index in np.ndindex(out.shape):
        left = (int(a[index[0], 0, index[2]]) - 77) * Fraction(infos[0].scale)
        right = (int(b[index[1], 0]) - 4) * Fraction(infos[1].scale)
        expected = round((left + sign * right) / Fraction(y.scale)) - 11
        assert out[index] == min(max(expected, -100), 90)


def test_add_to_float_is_the_sum_of_the_values(run_one, info):
    infos = [info("a", 1, scale=0.5, zero=1), info("b", 1, scale=2.0)]
    np.testing.assert_array_equal(run_one("add", [[3], [4]], infos, info("y", 1, None)), [9.0])


def test_hand_made_mul(run_one, info):
    infos = [info("a", 1, scale=0.5, zero=2), info("b", 1, signed=True, scale=0.25)]
    out = run_one("mul", [[6, 1, 7], [3, 4, 6]], infos, info("y", 1, signed=True, scale=0.25, zero=1))
    # (4 * 3, -1 * 4, 5 * 6) / 2 + 1
    np.testing.assert_array_equal(out, [7, -1, 16])


def test_requantize_clamps_as_a_relu(run_one, info):
    x = info("x", 1, signed=True, scale=0.5)
    out = run_one("requantize", [[-128, -1, 1, 3, 127]], [x], info("y", 1, bits=4, scale=1.0, zero=2), lo=2)
    np.testing.assert_array_equal(out, [2, 2, 2, 4, 15])


def test_requantize_of_sixteen_bits(run_one, info):
    x = info("x", 1, 16, signed=True, scale=0.5, zero=-100)
    out = run_one("requantize", [[-32768, -100, 32767]], [x], info("y", 1, 16, scale=1.0, zero=16384))
    np.testing.assert_array_equal(out, [16384 - 16334, 16384, 16384 + 16434])


def test_requantize_to_float_dequantizes(run_one, info):
    x = info("x", 1, bits=4, signed=True, scale=0.5, zero=-8)
    np.testing.assert_array_equal(run_one("requantize", [[-8, 7]], [x], info("y", 1, None)), [0.0, 7.5])


def test_concat_requantizes_inputs_of_other_parameters(run_one, info):
    infos = [info("a", 2, scale=1.0), info("b", 2, scale=0.5, zero=4)]
    out = run_one("concat", [[[1, 2]], [[4, 10]]], infos, info("y", 2, scale=1.0), attrs={"axis": 1})
    np.testing.assert_array_equal(out, [[1, 2, 0, 3]])


def test_lut_reads_signed_codes(run_one, info):
    x = info("x", 1, bits=2, signed=True)
    out = run_one("lut", [[-2, -1, 0, 1]], [x], info("y", 1, signed=True), table=np.array([4, -3, 2, -1]))
    np.testing.assert_array_equal(out, [4, -3, 2, -1])
