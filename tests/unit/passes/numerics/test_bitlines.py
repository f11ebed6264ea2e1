"""Bit lines: where each bit of each code lies."""

from __future__ import annotations

import numpy as np
import pytest

from passes.errors import ArtifactError, UsageError
from passes.numerics import SUPPORTED_BITS, pack_lines, plane_widths, unpack_lines


def one_code(tile, lane, value, dtype=np.uint8):
    codes = np.zeros((1, 8, 64), dtype=dtype)
    codes[0, tile, lane] = value
    return codes


def test_planes_are_the_set_bits_of_the_width():
    assert plane_widths(7) == (4, 2, 1)
    assert plane_widths(5) == (4, 1)
    assert plane_widths(8) == (8,)
    assert plane_widths(16) == (8, 8)


@pytest.mark.parametrize("bits", SUPPORTED_BITS)
def test_a_slice_is_exactly_bits_lines(bits):
    codes = np.zeros((3, 8, 64), dtype=np.uint16)
    assert pack_lines(codes, bits).shape == (3 * bits * 64,)


def test_four_bits_share_a_byte_between_two_tiles():
    lines = pack_lines(one_code(tile=5, lane=9, value=0xA), 4).reshape(4, 64)
    assert lines[2, 9] == 0xA0
    assert np.count_nonzero(lines) == 1


def test_one_bit_has_a_bit_for_each_tile():
    lines = pack_lines(one_code(tile=6, lane=63, value=1), 1)
    assert lines[63] == 1 << 6
    assert np.count_nonzero(lines) == 1


def test_seven_bits_split_into_four_two_and_one():
    lines = pack_lines(one_code(tile=3, lane=0, value=0b1_10_0101), 7).reshape(7, 64)
    # Plane of 4: line 3 // 2, second nibble. Plane of 2: line 4 + 0, fourth pair. Plane of 1: bit 3.
    assert lines[1, 0] == 0b0101 << 4
    assert lines[4, 0] == 0b10 << 6
    assert lines[6, 0] == 1 << 3
    assert np.count_nonzero(lines) == 3


def test_sixteen_bits_are_low_bytes_then_high_bytes():
    lines = pack_lines(one_code(tile=2, lane=1, value=0x1234, dtype=np.uint16), 16).reshape(16, 64)
    assert lines[2, 1] == 0x34
    assert lines[8 + 2, 1] == 0x12


@pytest.mark.parametrize("shape", [(8, 64), (1, 8, 32), (1, 4, 64)])
def test_other_shapes_are_refused(shape):
    with pytest.raises(UsageError, match="slices, 8, 64"):
        pack_lines(np.zeros(shape, dtype=np.uint8), 4)


def test_signed_codes_are_refused():
    with pytest.raises(UsageError, match="unsigned"):
        pack_lines(np.zeros((1, 8, 64), dtype=np.int8), 4)


def test_codes_out_of_range_are_refused():
    with pytest.raises(UsageError, match="does not fit"):
        pack_lines(one_code(0, 0, 16), 4)


def test_part_of_a_slice_is_refused():
    with pytest.raises(ArtifactError, match="multiple of 192 bytes"):
        unpack_lines(np.zeros(191, dtype=np.uint8), 3)


def test_unknown_width_is_refused():
    with pytest.raises(UsageError, match="bits must be"):
        unpack_lines(np.zeros(64, dtype=np.uint8), 9)
