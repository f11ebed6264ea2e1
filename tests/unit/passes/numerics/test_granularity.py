"""Granularity: parameter shapes, broadcasting and blocks, by hand-made arrays."""

from __future__ import annotations

import numpy as np
import pytest

from passes.errors import UsageError
from passes.numerics import PerChannel, PerGroup, PerTensor, parse_granularity

X = np.arange(10.0).reshape(2, 5)


def test_per_tensor():
    assert PerTensor().param_shape((2, 5)) == ()
    assert PerTensor().blocks(X).shape == (1, 10)
    assert PerTensor().expand(np.array([3.0]), (2, 5)) == 3.0


def test_per_channel():
    assert PerChannel(1).param_shape((2, 5)) == (5,)
    np.testing.assert_array_equal(PerChannel(1).blocks(X)[3], [3, 8])
    np.testing.assert_array_equal(PerChannel(-2).expand(np.array([1.0, 2.0]), (2, 5)), [[1], [2]])


def test_per_group_fills_the_last_group_with_zeros():
    assert PerGroup(1, 2).param_shape((2, 5)) == (2, 3)
    np.testing.assert_array_equal(PerGroup(1, 2).blocks(X), [[0, 1], [2, 3], [4, 0], [5, 6], [7, 8], [9, 0]])


def test_per_group_expands_each_value_over_its_run():
    params = np.array([[1, 2, 3], [4, 5, 6]])
    expected = [[1, 1, 2, 2, 3], [4, 4, 5, 5, 6]]
    np.testing.assert_array_equal(PerGroup(-1, 2).expand(params, (2, 5)), expected)


def test_per_group_blocks_follow_the_order_of_the_parameters():
    x = np.arange(24.0).reshape(2, 4, 3)
    granularity = PerGroup(1, 2)
    maxima = granularity.blocks(x).max(axis=1).reshape(granularity.param_shape(x.shape))
    assert maxima.shape == (2, 2, 3)
    np.testing.assert_array_equal(maxima[0], [[3, 4, 5], [9, 10, 11]])


@pytest.mark.parametrize("granularity", [PerChannel(2), PerChannel(-3), PerGroup(2, 4)])
def test_missing_axis_is_refused(granularity):
    with pytest.raises(UsageError, match="axis"):
        granularity.param_shape((2, 5))


def test_wrong_parameter_shape_is_refused():
    with pytest.raises(UsageError, match=r"shape \(5,\), found \(4,\)"):
        PerChannel(1).expand(np.ones(4), (2, 5))


def test_empty_groups_are_refused():
    with pytest.raises(UsageError, match="size"):
        PerGroup(0, 0)


@pytest.mark.parametrize("granularity", [PerTensor(), PerChannel(0), PerChannel(-1), PerGroup(1, 32)])
def test_text_round_trips(granularity):
    assert parse_granularity(str(granularity)) == granularity


@pytest.mark.parametrize("text", ["", "per_channel", "per_channel:x", "per_group:1", "per_tensor:0"])
def test_unknown_text_is_refused(text):
    with pytest.raises(UsageError, match="granularity"):
        parse_granularity(text)
