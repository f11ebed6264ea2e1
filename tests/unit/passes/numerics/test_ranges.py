"""Ranges of activations against brute force and hand-made histograms."""

from __future__ import annotations

import numpy as np
import pytest

from passes.errors import DataError, UsageError
from passes.numerics import (
    Histogram,
    IntFormat,
    QuantSpec,
    RangeMethod,
    activation_range,
    fake_quantize,
    kl_range,
    minmax_range,
    mse_range,
    params_from_range,
    percentile_range,
)


def histogram_of(x):
    histogram = Histogram()
    histogram.update(np.asarray(x, dtype=np.float32))
    return histogram


def normal(seed, size=20_000):
    return np.random.default_rng(seed).normal(0, 1, size).astype(np.float32)


def error_of(x, lo, hi, spec):
    values = fake_quantize(x, spec, params_from_range(lo, hi, spec))
    return float(np.square(x.astype(np.float64) - values).mean())


SPECS = [
    QuantSpec(IntFormat(bits, signed), symmetric=signed) for bits in (2, 4, 8) for signed in (True, False)
]


def test_minmax_is_exact():
    assert minmax_range(histogram_of([-0.1, 0.7, 0.3])) == (float(np.float32(-0.1)), float(np.float32(0.7)))


def test_percentile_by_hand():
    # 10,000 values spread evenly over [0, 1): 1 % lies beyond either of 0.01 and 0.99.
    lo, hi = percentile_range(histogram_of((np.arange(10_000) + 0.5) / 10_000), 98.0)
    assert lo == pytest.approx(0.01, abs=1e-3)
    assert hi == pytest.approx(0.99, abs=1e-3)


def test_percentile_drops_an_outlier():
    x = np.concatenate([np.linspace(-1, 1, 100_000), [100.0]])
    lo, hi = percentile_range(histogram_of(x), 99.9)
    assert -1.0 <= lo <= -0.9
    assert 0.9 <= hi <= 1.2


def test_percentile_of_everything_is_minmax():
    histogram = histogram_of(normal(1))
    assert percentile_range(histogram, 100.0) == minmax_range(histogram)


@pytest.mark.parametrize("percentile", [0.0, -1.0, 100.1, float("nan")])
def test_impossible_percentiles_are_refused(percentile):
    with pytest.raises(UsageError, match="percentile"):
        percentile_range(histogram_of([1.0]), percentile)


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: str(spec.format))
@pytest.mark.parametrize("shape", ["normal", "relu", "outlier"])
def test_mse_is_near_the_best_of_a_scan(spec, shape):
    x = normal(2)
    x = {"normal": x, "relu": np.maximum(x, 0), "outlier": np.append(x, np.float32(30.0))}[shape]
    lo, hi = float(min(x.min(), 0)), float(x.max())
    scan = min(error_of(x, lo * f, hi * f, spec) for f in np.arange(1, 51) / 50)
    assert error_of(x, *mse_range(histogram_of(x), spec), spec) <= scan * 1.02


def test_mse_moves_the_ends_apart_when_asymmetric():
    x = np.append(normal(3), np.float32(40.0))
    spec = QuantSpec(IntFormat(4, signed=False), symmetric=False)
    lo, hi = mse_range(histogram_of(x), spec)
    assert lo < -1.5
    assert hi < 10.0


@pytest.mark.parametrize("method", [RangeMethod.MSE, RangeMethod.KL])
def test_sixteen_bits_are_not_clipped(method):
    x = normal(4)
    spec = QuantSpec(IntFormat(16))
    assert activation_range(histogram_of(x), spec, method) == (float(x.min()), float(x.max()))


def test_kl_clips_an_outlier_and_ignores_the_spike_at_zero():
    x = np.maximum(normal(5, 100_000), 0)
    x[0] = 60.0
    _, hi = kl_range(histogram_of(x), QuantSpec(IntFormat(8, signed=False), symmetric=False))
    assert 2.0 < hi < 30.0


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: str(spec.format))
@pytest.mark.parametrize("method", RangeMethod)
@pytest.mark.parametrize("value", [0.0, 5.0, -5.0, 1e-44, 3e38])
def test_a_constant_has_a_usable_range(spec, method, value):
    value = float(np.float32(value))
    lo, hi = activation_range(histogram_of([value] * 10), spec, method)
    assert params_from_range(lo, hi, spec).scale > 0
    assert min(value, 0) <= lo <= hi <= max(value, 0)


@pytest.mark.parametrize("method", RangeMethod)
def test_nothing_has_no_range(method):
    with pytest.raises(DataError, match="no values"):
        activation_range(Histogram(), SPECS[0], method)
