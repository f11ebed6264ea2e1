"""Scales and zero points from ranges, and their JSON."""

from __future__ import annotations

import json

import numpy as np
import pytest

from passes.errors import DataError, PlanError, UsageError
from passes.numerics import (
    MIN_SCALE,
    IntFormat,
    PerChannel,
    PerGroup,
    QuantParams,
    QuantSpec,
    Rounding,
    params_from_range,
)

UINT8 = QuantSpec(IntFormat(8, signed=False), symmetric=False)
INT8 = QuantSpec(IntFormat(8))


@pytest.mark.parametrize(
    ("spec", "lo", "hi", "scale", "zero_point"),
    [
        (UINT8, -1.0, 1.55, 0.01, 100),
        (UINT8, 1.0, 2.55, 0.01, 0),
        (UINT8, -2.55, -1.0, 0.01, 255),
        (INT8, -1.0, 1.27, 0.01, 0),
        (INT8, -1.28, 0.5, 0.01, 0),
        (QuantSpec(IntFormat(8, narrow_range=True)), -1.27, 0.5, 0.01, 0),
        (QuantSpec(IntFormat(8, signed=False)), -1.0, 1.27, 0.01, 128),
        (QuantSpec(IntFormat(1)), -3.0, 1.0, 3.0, 0),
        (QuantSpec(IntFormat(1)), 0.0, 2.0, 2.0, 0),
    ],
)
def test_by_hand(spec, lo, hi, scale, zero_point):
    params = params_from_range(lo, hi, spec)
    np.testing.assert_allclose(params.scale, scale, rtol=1e-6)
    assert params.zero_point == zero_point
    assert params.scale.dtype == np.float32
    assert params.zero_point.dtype == np.int32


@pytest.mark.parametrize("spec", [UINT8, INT8])
def test_zeros_get_scale_one(spec):
    assert params_from_range(0.0, 0.0, spec).scale == 1.0


@pytest.mark.parametrize("spec", [UINT8, INT8, QuantSpec(IntFormat(1, signed=False), symmetric=False)])
@pytest.mark.parametrize("end", [1e-45, 1e-38, 3.4028235e38])
def test_scale_is_a_normal_number(spec, end):
    params = params_from_range(-end, end, spec)
    assert MIN_SCALE <= params.scale <= np.finfo(np.float32).max


def test_many_ranges_at_once():
    params = params_from_range([-1.0, -2.0], [1.27, 2.54], INT8)
    np.testing.assert_allclose(params.scale, [0.01, 0.02], rtol=1e-6)


@pytest.mark.parametrize(("lo", "hi"), [(np.nan, 1.0), (0.0, np.inf), (2.0, 1.0)])
def test_impossible_ranges_are_refused(lo, hi):
    with pytest.raises(DataError, match="finite lo <= hi"):
        params_from_range(lo, hi, INT8)


@pytest.mark.parametrize("scale", [0.0, -1.0, np.nan, np.inf])
def test_impossible_scales_are_refused(scale):
    with pytest.raises(UsageError, match="positive and finite"):
        QuantParams(np.float32(scale), np.int32(0))


def test_shapes_must_agree():
    with pytest.raises(UsageError, match="shape"):
        QuantParams(np.ones(2, dtype=np.float32), np.zeros(3, dtype=np.int32))


def test_equality_is_by_value():
    one, same = (QuantParams(np.float32([0.5, 1]), np.int32([0, 3])) for _ in range(2))
    other = QuantParams(np.float32([0.5, 1]), np.int32([0, 4]))
    assert one == same
    assert hash(one) == hash(same)
    assert one != other
    assert one != "text"


def test_arrays_cannot_be_changed():
    params = params_from_range(-1.0, 1.0, INT8)
    with pytest.raises(ValueError, match="read-only"):
        params.scale[...] = 2.0


@pytest.mark.parametrize("shape", [(), (3,), (2, 2)])
def test_params_survive_json(shape):
    params = params_from_range(np.full(shape, -0.1), np.full(shape, 0.7), UINT8)
    assert QuantParams.from_json(json.loads(json.dumps(params.to_json()))) == params


@pytest.mark.parametrize(
    "data",
    [
        None,
        {"scale": 1.0},
        {"scale": 1.0, "zero_point": 0, "extra": 1},
        {"scale": "1", "zero_point": 0},
        {"scale": True, "zero_point": 0},
        {"scale": float("nan"), "zero_point": 0},
        {"scale": 1e300, "zero_point": 0},
        {"scale": 1e-300, "zero_point": 0},
        {"scale": 1.0, "zero_point": 0.5},
        {"scale": 1.0, "zero_point": 2**40},
        {"scale": 1.0, "zero_point": 10**30},
        {"scale": [1.0, [2.0]], "zero_point": [0, 0]},
        {"scale": [1.0, 2.0], "zero_point": 0},
    ],
)
def test_damaged_params_are_refused(data):
    with pytest.raises(PlanError, match="quantizer params"):
        QuantParams.from_json(data)


@pytest.mark.parametrize(
    "spec",
    [
        UINT8,
        QuantSpec(IntFormat(4, narrow_range=True), PerChannel(0)),
        QuantSpec(IntFormat(2), PerGroup(1, 32), rounding=Rounding.FLOOR),
    ],
)
def test_spec_survives_json(spec):
    assert QuantSpec.from_json(json.loads(json.dumps(spec.to_json()))) == spec


@pytest.mark.parametrize(
    ("key", "value"),
    [("format", "int9"), ("granularity", "x"), ("symmetric", 1), ("rounding", "up"), ("other", 1)],
)
def test_damaged_spec_is_refused(key, value):
    with pytest.raises(PlanError, match="quantizer spec"):
        QuantSpec.from_json({**UINT8.to_json(), key: value})
