"""Two-level scales: they split exactly, cover what they should, and cost next to nothing."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from passes.errors import UsageError
from passes.numerics import (
    IntFormat,
    PerChannel,
    PerGroup,
    QuantParams,
    QuantSpec,
    RangeMethod,
    fake_quantize,
    group_params,
    multiplier_limit,
    params_from_range,
    short_scale,
    split_scales,
    weight_range,
)


def spec(bits=4, size=16, axis=1):
    return QuantSpec(IntFormat(bits, signed=True), PerGroup(axis, size))


def error(values, quantizer, params):
    return float(((fake_quantize(values, quantizer, params).astype(np.float64) - values) ** 2).sum())


def test_hand_made_scales():
    # Largest magnitudes 8 and 2 over -8: free scales 1 and 1/4; the base is 1/255, rounded up to 1/240.
    values = np.zeros((1, 32), np.float32)
    values[0, 3], values[0, 20] = -8.0, -2.0
    params = group_params(values, spec(), 0, method=RangeMethod.MINMAX)
    base, multiplier = split_scales(params.scale, 0)
    np.testing.assert_array_equal(base, short_scale([1 / 255], up=True))
    np.testing.assert_array_equal(multiplier, np.ceil([[1 / base[0], 0.25 / base[0]]]))
    np.testing.assert_array_equal(params.scale, base[:, None] * multiplier)


@given(
    seed=st.integers(0, 2**32 - 1),
    bits=st.integers(1, 8),
    size=st.sampled_from([16, 32]),
    axis=st.sampled_from([0, 1]),
    limit=st.sampled_from([15, 63, 255]),
)
def test_scales_split_into_short_bases_and_bytes(seed, bits, size, axis, limit):
    rng = np.random.default_rng(seed)
    values = rng.standard_normal((5, 50)).astype(np.float32) * rng.choice([1e-6, 1.0, 1e4], (5, 50))
    values[rng.integers(5)] = 0.0
    values = np.float32(values if axis == 1 else values.T)
    params = group_params(values, spec(bits, size, axis), 1 - axis, limit=limit)
    base, multiplier = split_scales(params.scale, 1 - axis)
    np.testing.assert_array_equal(base, short_scale(base, up=False))
    assert multiplier.min() >= 1
    assert multiplier.max() <= limit
    np.testing.assert_array_equal(params.scale, np.expand_dims(base, axis) * multiplier)


def test_no_range_is_lost_by_minmax(rng):
    values = rng.standard_normal((6, 70)).astype(np.float32)
    quantizer = spec(4, 16)
    free = params_from_range(*weight_range(values, quantizer), quantizer).scale
    assert (group_params(values, quantizer, 0, method=RangeMethod.MINMAX).scale >= free).all()


def test_the_bias_floor_holds(rng):
    values, least = rng.standard_normal((4, 32)).astype(np.float32), np.array([0.0, 0.01, 0.1, 10.0])
    base, _ = split_scales(group_params(values, spec(), 0, least=least).scale, 0)
    assert (base >= least).all()


def test_two_levels_cost_less_than_a_hundredth_of_the_error(rng):
    values = (rng.standard_normal((64, 256)) * np.exp(rng.standard_normal((64, 1)))).astype(np.float32)
    quantizer = spec(4, 32)
    free = params_from_range(*weight_range(values, quantizer, RangeMethod.MSE), quantizer)
    channels = QuantSpec(quantizer.format, PerChannel(0))
    whole = params_from_range(*weight_range(values, channels, RangeMethod.MSE), channels)
    grouped = error(values, quantizer, group_params(values, quantizer, 0))
    assert grouped < 1.01 * error(values, quantizer, free)
    assert grouped < 0.75 * error(values, channels, whole)


def test_a_weight_of_zeros_has_scales():
    params = group_params(np.zeros((3, 20), np.float32), spec(), 0)
    assert params == QuantParams(params.scale, np.zeros((3, 2), np.int32))


@pytest.mark.parametrize("scale", [[[1.0, 0.3]], [[1.0, 256.0]], [[1.0, 2.0**40]], [[2.0**-20, 1.5]]])
def test_scales_that_are_no_multiples_are_refused(scale):
    with pytest.raises(UsageError, match=r"multiples 1\.\.255 of a short scale"):
        split_scales(np.float32(scale), 0)


def test_multipliers_shrink_with_the_room_for_sums():
    assert multiplier_limit(768, 4, 8, 32) == 255
    assert multiplier_limit(4096, 8, 8, 32) == 15
    assert multiplier_limit(4096, 6, 8, 32) == (2**30 - 1) // (4096 * 32 * 255)
    assert multiplier_limit(4096, 6, 16, 53) == 63
