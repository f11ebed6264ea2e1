"""The histogram: where values go, how it grows, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

from passes.errors import DataError
from passes.numerics import Histogram

EDGE = 2048


def filled(*batches):
    histogram = Histogram()
    for batch in batches:
        histogram.update(np.asarray(batch, dtype=np.float32))
    return histogram


def test_bins_by_hand():
    # The greatest magnitude 1.5 lies below 2 = 2048 * 2**-10.
    histogram = filled([1.5, 0.0, -(2.0**-10), 2.0**-10])
    assert histogram.width == 2.0**-10
    np.testing.assert_array_equal(np.flatnonzero(histogram.counts), EDGE + np.array([-1, 0, 1, 1536]))
    assert (histogram.low, histogram.high, histogram.total) == (-(2.0**-10), 1.5, 4)


def test_growing_merges_neighbours():
    small = np.array([-3, -2, -1, 0, 1, 2, 3]) * 2.0**-10
    histogram = filled([1.5], small, [3.0])
    assert histogram.width == 2.0**-9
    np.testing.assert_array_equal(histogram.counts[EDGE - 2 : EDGE + 2], [1, 2, 2, 2])


def test_growing_far_leaves_the_two_bins_next_to_zero():
    histogram = filled([-1e-20, 1e-20, 1e-20], [1e20])
    np.testing.assert_array_equal(histogram.counts[EDGE - 1 : EDGE + 1], [1, 2])
    assert histogram.total == 4


def test_order_does_not_matter():
    rng = np.random.default_rng(3)
    batches = [rng.normal(0, scale, 1000).astype(np.float32) for scale in (0.01, 5.0, 0.3)]
    forward, backward, merged = filled(*batches), filled(*batches[::-1]), filled(batches[1])
    merged.merge(filled(batches[2], batches[0]))
    for other in (backward, merged):
        np.testing.assert_array_equal(forward.counts, other.counts)
        assert (forward.exponent, forward.low, forward.high) == (other.exponent, other.low, other.high)


def test_merging_nothing_changes_nothing():
    histogram = filled([1.0, 2.0])
    before = histogram.counts.copy()
    histogram.merge(Histogram())
    histogram.update(np.empty((0, 3), dtype=np.float32))
    np.testing.assert_array_equal(histogram.counts, before)
    empty = Histogram()
    empty.merge(histogram)
    np.testing.assert_array_equal(empty.counts, before)


@pytest.mark.parametrize("extreme", [3.4028235e38, -3.4028235e38, 1e-45, 0.0, -(2.0**100)])
def test_extremes_of_float32_fit(extreme):
    histogram = filled([extreme])
    assert histogram.total == 1
    assert histogram.low == histogram.high == float(np.float32(extreme))


def test_more_values_than_a_chunk():
    x = np.linspace(-1, 1, 200_001, dtype=np.float32).reshape(3, -1)
    assert filled(x).total == 200_001


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_refused_and_not_counted(value):
    histogram = filled([1.0])
    with pytest.raises(DataError, match="finite"):
        histogram.update(np.array([0.5, value], dtype=np.float32))
    assert histogram.total == 1
    assert histogram.high == 1.0


def test_float64_beyond_float32_is_refused():
    with pytest.raises(DataError, match="finite"):
        Histogram().update(np.array([1e300]))


def test_occupied_is_trimmed():
    first, counts = filled([-1.0, 1.5]).occupied()
    assert first == -1024
    assert counts.shape == (1024 + 1536 + 1,)


def test_empty_has_no_occupied_bins():
    with pytest.raises(DataError, match="no values"):
        Histogram().occupied()
