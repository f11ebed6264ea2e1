"""Tables of levels by hand: the nearest, distinct integers, and least squared error."""

from __future__ import annotations

import numpy as np
import pytest

from passes.errors import UsageError
from passes.numerics import (
    IntFormat,
    PerChannel,
    PerTensor,
    QuantParams,
    QuantSpec,
    best_short_scale,
    fake_quantize,
)
from passes.numerics.gptq import Grid
from passes.numerics.levels import (
    check_table,
    distinct_levels,
    fit_table,
    index_bits,
    lloyd,
    nearest_level,
    uniform_levels,
)

INT8 = IntFormat(8)
LEVELS = (-100, -7, 30, 90)


def test_an_index_has_as_many_bits_as_the_last_one_needs() -> None:
    assert [index_bits(count) for count in (2, 3, 4, 5, 8, 9, 128)] == [1, 2, 2, 3, 3, 4, 7]


def test_the_nearest_level_is_taken_and_of_two_the_lower() -> None:
    values = np.array([[-1e9, -53.6, -53.5, -53.4], [11.5, 11.51, 60.0, np.inf]])
    expected = [[-100, -100, -100, -7], [-7, 30, 30, 90]]
    np.testing.assert_array_equal(nearest_level(values, LEVELS), expected)


def test_a_grid_of_levels_takes_them() -> None:
    grid = Grid(np.full((1, 1, 3), 0.5), -128, 127, LEVELS)
    found = grid.nearest(np.array([[[-3.0, 20.0, 99.0]]]), grid.scale)
    assert found.tolist() == [[[-7.0, 30.0, 90.0]]]


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ([-3.2, 1.4, 1.6], [-3, 1, 2]),
        ([1.0, 1.2, 1.4], [1, 2, 3]),
        ([126.0, 127.0, 127.0, 300.0], [124, 125, 126, 127]),
        ([-400.0, -400.0, 5.0], [-128, -127, 5]),
    ],
)
def test_levels_become_distinct_codes(wanted: list[float], expected: list[int]) -> None:
    assert distinct_levels(np.array(wanted), INT8).tolist() == expected


def test_uniform_integers_are_levels_too() -> None:
    assert uniform_levels(2).tolist() == [-128, -64, 0, 64]
    assert uniform_levels(1).tolist() == [-128, 0]


def test_levels_move_to_the_weighted_mean_of_what_takes_them() -> None:
    values, weights = np.array([[0.0, 1.0], [10.0, 14.0]]), np.array([[1.0, 3.0], [1.0, 1.0]])
    assert lloyd(values, weights, np.array([-1.0, 11.0])).tolist() == [0.75, 12.0]
    assert lloyd(values, weights, np.array([-1.0, 11.0, 99.0])).tolist() == [0.75, 12.0, 99.0]


@pytest.mark.parametrize(("bits", "published"), [(2, 0.1175), (3, 0.03454), (4, 0.009497)])
def test_the_error_is_that_of_the_best_levels_for_normal_numbers(bits: int, published: float) -> None:
    """J. Max, Quantizing for minimum distortion, IRE Trans. IT-6 (1960), table I."""
    values = np.random.default_rng(0).standard_normal((8, 4000)).astype(np.float32)
    spec = QuantSpec(IntFormat(bits), PerChannel(0))
    scale = best_short_scale(values, spec)
    params = QuantParams(scale, np.zeros(8, np.int32))
    scale, levels = fit_table(values, spec, params, np.zeros(8))
    unit = scale[:, None].astype(np.float64)
    error = float(np.square(values - nearest_level(values / unit, levels) * unit).mean())
    assert error == pytest.approx(published, rel=0.03)
    assert error < np.square(values - fake_quantize(values, spec, params)).mean()


@pytest.mark.parametrize("granularity", [PerTensor(), PerChannel(1), PerChannel(-1)])
def test_scales_stay_above_their_floor(granularity: PerTensor | PerChannel) -> None:
    values = np.random.default_rng(1).standard_normal((5, 3)).astype(np.float32)
    spec = QuantSpec(IntFormat(3), granularity)
    shape = granularity.param_shape(values.shape)
    params = QuantParams(np.full(shape, 0.5, np.float32), np.zeros(shape, np.int32))
    free, _ = fit_table(values, spec, params, np.zeros(shape))
    bound, levels = fit_table(values, spec, params, np.full(shape, 1.0))
    assert free.max() < 1 <= bound.min()
    assert levels[0] >= -5
    assert np.array_equal(free.shape, shape)


@pytest.mark.parametrize(
    ("levels", "message"),
    [
        ([5], "2 to 128 levels, found 1"),
        (range(-100, 29), "found 129"),
        ([1, 1, 2], "ascending order"),
        ([2, 1], "ascending order"),
        ([0, 128], r"-128\.\.127, found 0\.\.128"),
    ],
)
def test_what_is_no_table_is_refused(levels: list[int], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        check_table(list(levels), INT8)
