"""Packed weights: order of the codes, sizes, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

from passes.errors import ArtifactError, UsageError
from passes.numerics import (
    IntFormat,
    Layout,
    pack_flat,
    pack_gemm,
    packed_size,
    tile_flat,
    tile_gemm,
    unpack_flat,
    unpack_gemm,
    unpack_lines,
    untile_gemm,
)

INT4 = IntFormat(4)


def test_gemm_tiles_hold_four_k_of_sixteen_columns():
    n, k = np.meshgrid(np.arange(32), np.arange(64), indexing="ij")
    tiles = tile_gemm((n * 64 + k).astype(np.uint16))
    assert tiles.shape == (4, 8, 64)
    # Slice 2 is columns 16..31 with k 0..31; tile 3 holds k 12..15; byte 4 * 5 + 2 is column 5, k % 4 = 2.
    assert tiles[2, 3, 22] == (16 + 5) * 64 + 14
    # Slice 1 is columns 0..15 with k 32..63.
    assert tiles[1, 0, 0] == 32


def test_gemm_fills_up_with_the_pad_code():
    tiles = tile_gemm(np.zeros((1, 1), dtype=np.uint8), pad=7)
    assert tiles.shape == (1, 8, 64)
    assert np.count_nonzero(tiles == 7) == 511


def test_gemm_puts_the_matrix_back():
    codes = np.arange(17 * 33, dtype=np.uint16).reshape(17, 33)
    np.testing.assert_array_equal(untile_gemm(tile_gemm(codes), 17, 33), codes)


def test_flat_is_consecutive():
    tiles = tile_flat(np.arange(513, dtype=np.uint16), pad=9)
    assert tiles.shape == (2, 8, 64)
    assert tiles[0, 1, 0] == 64
    np.testing.assert_array_equal(tiles[1, 0, :2], [512, 9])


def test_padding_stands_for_zero():
    data = pack_gemm(np.full((1, 1), -8), INT4)
    assert unpack_gemm(data, INT4, 1, 1) == -8
    codes = unpack_lines(data, 4)
    assert codes[0, 0, 0] == 0
    assert np.count_nonzero(codes == 8) == 511


@pytest.mark.parametrize(
    ("layout", "shape", "bits", "size"),
    [
        (Layout.GEMM, (16, 32), 3, 192),
        (Layout.GEMM, (17, 33), 4, 4 * 4 * 64),
        (Layout.FLAT, (512,), 8, 512),
        (Layout.FLAT, (3, 3, 60), 1, 2 * 64),
        (Layout.GEMM, (0, 5), 4, 0),
    ],
)
def test_sizes(layout, shape, bits, size):
    assert packed_size(layout, shape, bits) == size


def test_size_is_that_of_the_data():
    q = np.zeros((20, 40), dtype=np.int8)
    assert pack_gemm(q, INT4).size == packed_size(Layout.GEMM, q.shape, 4)
    assert pack_flat(q, INT4).size == packed_size(Layout.FLAT, q.shape, 4)


def test_dtype_is_that_of_the_format():
    for fmt in (INT4, IntFormat(4, signed=False), IntFormat(16), IntFormat(16, signed=False)):
        assert unpack_flat(pack_flat(np.array([0, 1]), fmt), fmt, 2).dtype == fmt.dtype


@pytest.mark.parametrize("value", [-9, 8])
def test_values_outside_the_format_are_refused(value):
    with pytest.raises(UsageError, match=r"int4 holds -8\.\.7"):
        pack_flat(np.array([value]), INT4)


def test_gemm_needs_a_matrix():
    with pytest.raises(UsageError, match=r"\(n, k\)"):
        pack_gemm(np.zeros(3, dtype=np.int8), INT4)
    with pytest.raises(UsageError, match=r"\(n, k\)"):
        packed_size(Layout.GEMM, (3,), 4)


@pytest.mark.parametrize("change", [-1, 64])
def test_wrong_lengths_are_refused(change):
    data = np.zeros(256 + change, dtype=np.uint8)
    with pytest.raises(ArtifactError, match="needs 256 bytes"):
        unpack_gemm(data, INT4, 16, 32)
    with pytest.raises(ArtifactError, match="needs 256 bytes"):
        unpack_flat(data, INT4, 512)


def test_a_count_that_lies_is_refused_before_memory_is_taken():
    with pytest.raises(ArtifactError, match="needs"):
        unpack_flat(np.zeros(256, dtype=np.uint8), INT4, 10**15)


def test_tiles_of_another_matrix_are_refused():
    with pytest.raises(ArtifactError, match="need shape"):
        untile_gemm(np.zeros((1, 8, 64), dtype=np.uint8), 17, 32)


def test_codes_that_a_narrow_format_lacks_are_refused():
    fmt = IntFormat(4, narrow_range=True)
    with pytest.raises(ArtifactError, match="outside int4n"):
        unpack_flat(np.full(256, 0xFF, dtype=np.uint8), fmt, 512)
