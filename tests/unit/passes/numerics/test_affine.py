"""Quantize and dequantize by hand-made numbers."""

from __future__ import annotations

import numpy as np
import pytest

from passes.errors import UsageError
from passes.numerics import (
    IntFormat,
    PerChannel,
    PerGroup,
    QuantParams,
    QuantSpec,
    Rounding,
    dequantize,
    fake_quantize,
    quantize,
)

UINT8 = QuantSpec(IntFormat(8, signed=False), symmetric=False)
HALF = QuantParams(np.float32(0.5), np.int32(10))


def test_ties_go_to_even_and_ends_saturate():
    x = np.array([-100, -5, 0, 0.25, 0.75, 1, 122.5, 1e30], dtype=np.float32)
    q = quantize(x, UINT8, HALF)
    assert q.dtype == np.uint8
    np.testing.assert_array_equal(q, [0, 0, 10, 10, 12, 12, 255, 255])
    np.testing.assert_array_equal(dequantize(q, UINT8, HALF), [-5, -5, 0, 0, 1, 1, 122.5, 122.5])


def test_what_is_not_finite_saturates_without_a_warning():
    x = np.array([np.nan, np.inf, -np.inf, 3e38], dtype=np.float32)
    tiny = QuantParams(np.float32(1e-10), np.int32(10))
    np.testing.assert_array_equal(quantize(x, UINT8, tiny), [0, 255, 0, 255])


def test_rounding_of_the_spec_is_used():
    spec = QuantSpec(IntFormat(8, signed=False), symmetric=False, rounding=Rounding.HALF_UP)
    np.testing.assert_array_equal(quantize(np.float32([0.25, -0.25]), spec, HALF), [11, 10])


def test_narrow_range_leaves_the_lowest_code_out():
    spec = QuantSpec(IntFormat(4, narrow_range=True))
    assert quantize(np.float32([-100]), spec, QuantParams(np.float32(1), np.int32(0))) == -7


def test_per_channel():
    params = QuantParams(np.float32([1, 2]), np.int32([0, 1]))
    spec = QuantSpec(IntFormat(8), PerChannel(0), symmetric=False)
    q = quantize(np.float32([[4, 6], [4, 6]]), spec, params)
    np.testing.assert_array_equal(q, [[4, 6], [3, 4]])
    np.testing.assert_array_equal(dequantize(q, spec, params), [[4, 6], [4, 6]])


def test_per_group_with_a_short_last_group():
    params = QuantParams(np.float32([[1, 2]]), np.int32([[0, 0]]))
    spec = QuantSpec(IntFormat(8), PerGroup(1, 2))
    np.testing.assert_array_equal(quantize(np.float32([[4, 6, 8]]), spec, params), [[4, 6, 4]])


@pytest.mark.parametrize("shape", [(), (0,), (3, 1)])
def test_any_shape(shape):
    x = np.full(shape, 2.0, dtype=np.float32)
    assert quantize(x, UINT8, HALF).shape == shape
    assert dequantize(quantize(x, UINT8, HALF), UINT8, HALF).shape == shape


@pytest.mark.parametrize("rounding", Rounding)
def test_fake_quantize_has_the_bits_of_the_two_steps(rounding):
    rng = np.random.default_rng(5)
    spec = QuantSpec(IntFormat(4), symmetric=False, rounding=rounding)
    params = QuantParams(np.float32(0.37), np.int32(-3))
    x = np.concatenate([rng.normal(0, 3, 500), [-0.0, 0.01, -0.01]]).astype(np.float32)
    two_steps = dequantize(quantize(x, spec, params), spec, params)
    np.testing.assert_array_equal(fake_quantize(x, spec, params).view(np.uint32), two_steps.view(np.uint32))


def test_the_input_is_left_alone():
    x = np.float32([1.3, 2.7])
    fake_quantize(x, UINT8, HALF)
    np.testing.assert_array_equal(x, np.float32([1.3, 2.7]))


def test_params_of_another_shape_are_refused():
    with pytest.raises(UsageError, match="shape"):
        quantize(np.ones((2, 3), dtype=np.float32), UINT8, QuantParams(np.ones(3), np.zeros(3)))
