"""Ranges of weights, for every granularity."""

from __future__ import annotations

import numpy as np
import pytest

from passes.errors import DataError, UsageError
from passes.numerics import (
    IntFormat,
    PerChannel,
    PerGroup,
    PerTensor,
    QuantSpec,
    RangeMethod,
    fake_quantize,
    params_from_range,
    weight_range,
)

W = np.array([[1.0, -2.0, 3.0], [0.5, 0.25, 0.125]])


def errors_of(w, spec, lo, hi):
    values = fake_quantize(w, spec, params_from_range(lo, hi, spec))
    return np.square(spec.granularity.blocks(w - values)).sum(axis=1)


def test_minmax_by_hand():
    lo, hi = weight_range(W, QuantSpec(IntFormat(8), PerChannel(0)))
    np.testing.assert_array_equal(lo, [-2, 0.125])
    np.testing.assert_array_equal(hi, [3, 0.5])
    lo, hi = weight_range(W, QuantSpec(IntFormat(8), PerGroup(1, 2)))
    np.testing.assert_array_equal(lo, [[-2, 0], [0.25, 0]])
    np.testing.assert_array_equal(hi, [[1, 3], [0.5, 0.125]])


@pytest.mark.parametrize("granularity", [PerTensor(), PerChannel(0), PerChannel(1), PerGroup(1, 7)])
@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("bits", [2, 4])
def test_mse_is_the_best_of_its_grid(granularity, symmetric, bits):
    w = np.random.default_rng(6).standard_t(3, (12, 40)).astype(np.float32)
    spec = QuantSpec(IntFormat(bits), granularity, symmetric)
    lo, hi = weight_range(w, spec)
    scan = [errors_of(w, spec, lo * f, hi * f) for f in np.float32(np.arange(1, 101) / 100)]
    found = errors_of(w, spec, *weight_range(w, spec, RangeMethod.MSE))
    np.testing.assert_allclose(found, np.min(scan, axis=0), rtol=1e-4)


def test_mse_of_rows_longer_than_a_chunk():
    w = np.random.default_rng(7).normal(0, 1, (2, 70_000)).astype(np.float32)
    spec = QuantSpec(IntFormat(4), PerChannel(0))
    lo, hi = weight_range(w, spec)
    scan = [errors_of(w, spec, lo * f, hi * f) for f in (0.3, 0.5, 0.6, 0.7, 1.0)]
    found = errors_of(w, spec, *weight_range(w, spec, RangeMethod.MSE))
    assert (found <= np.min(scan, axis=0) * 1.0001).all()


def test_rows_of_zeros_and_sixteen_bits_stay_as_they_are():
    zeros = np.zeros((2, 3), dtype=np.float32)
    lo, hi = weight_range(zeros, QuantSpec(IntFormat(4), PerChannel(0)), RangeMethod.MSE)
    np.testing.assert_array_equal([lo, hi], np.zeros((2, 2)))
    _, hi = weight_range(W, QuantSpec(IntFormat(16)), RangeMethod.MSE)
    assert hi == 3.0


def test_empty_weights_have_empty_ranges():
    lo, hi = weight_range(np.empty((3, 0)), QuantSpec(IntFormat(8), PerChannel(0)))
    assert lo.shape == hi.shape == (3,)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_finite_is_refused(value):
    with pytest.raises(DataError, match="NaN or Inf"):
        weight_range(np.array([[1.0, value]]), QuantSpec(IntFormat(8)))


@pytest.mark.parametrize("method", [RangeMethod.KL, RangeMethod.PERCENTILE])
def test_methods_of_histograms_are_refused(method):
    with pytest.raises(UsageError, match="minmax or mse"):
        weight_range(W, QuantSpec(IntFormat(8)), method)
