"""Bit streams by hand."""

from __future__ import annotations

import numpy as np
import pytest

from passes.errors import ArtifactError, UsageError
from passes.numerics import pack_bits, unpack_bits


def test_three_bits_by_hand():
    # 1, 2, 7 from the lowest bit up: 100 010 111 -> bytes 0b11010001, 0b1.
    np.testing.assert_array_equal(pack_bits(np.array([1, 2, 7]), 3), [0b11010001, 0b1])


def test_whole_bytes_are_little_endian():
    np.testing.assert_array_equal(pack_bits(np.array([0x1234]), 16), [0x34, 0x12])


def test_the_widest_values_survive():
    values = np.array([0, 2**63 - 1, 1])
    np.testing.assert_array_equal(unpack_bits(pack_bits(values, 63), 63, 3), values)


def test_nothing_is_no_bytes():
    assert pack_bits(np.array([], dtype=np.int64), 5).size == 0
    assert unpack_bits(np.array([], dtype=np.uint8), 5, 0).shape == (0,)


@pytest.mark.parametrize("values", [[8], [-1]])
def test_values_out_of_range_are_refused(values):
    with pytest.raises(UsageError, match="values must lie"):
        pack_bits(np.array(values), 3)


@pytest.mark.parametrize("bits", [0, 64])
def test_widths_out_of_range_are_refused(bits):
    with pytest.raises(UsageError, match="bits"):
        pack_bits(np.array([0]), bits)


@pytest.mark.parametrize(("size", "count"), [(1, 3), (3, 3), (2, 10**15), (2, -1)])
def test_sizes_that_lie_are_refused(size, count):
    with pytest.raises(ArtifactError, match="need"):
        unpack_bits(np.zeros(size, dtype=np.uint8), 3, count)


def test_bits_behind_the_last_value_are_refused():
    with pytest.raises(ArtifactError, match="behind"):
        unpack_bits(np.array([0b11010001, 0b10], dtype=np.uint8), 3, 3)
