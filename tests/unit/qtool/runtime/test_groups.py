"""Weights with multipliers against plain int64 arithmetic, on both engines."""

from __future__ import annotations

import numpy as np
import pytest

from passes.artifact import WeightLayout


def test_hand_made_gemm(run_one, info, pack):
    # Runs of 16 ones and of 4 twos: (3 - 2) * (16 * 1 * 5 + 4 * 2 * 7) = 136, and a bias of -6.
    weight = pack([[1] * 16 + [2] * 4], bits=3).grouped(np.array([[5, 7]]), 16)
    out = run_one(
        "gemm",
        [np.full((1, 20), 3)],
        [info("x", 2, zero=2)],
        info("y", 2, None),
        weight=weight,
        bias=np.array([-6]),
    )
    np.testing.assert_array_equal(out, [[130.0]])


@pytest.mark.parametrize("size", [16, 32, 64, 128])
@pytest.mark.parametrize("layout", [WeightLayout.OUT_IN, WeightLayout.IN_OUT])
@pytest.mark.parametrize("rows", [1, 9])
def test_gemm(rng, run_one, info, pack, layout, size, rows):
    x, w = rng.integers(0, 256, (rows, 200)), rng.integers(-8, 8, (200, 21))
    factors = rng.integers(1, 256, (-(-200 // size), 21))
    across = layout is WeightLayout.OUT_IN
    weight = pack(w.T if across else w, layout, 4).grouped(factors.T if across else factors, size)
    out = run_one("gemm", [x], [info("x", 2, zero=9)], info("y", 2, None), weight=weight)
    spread = np.repeat(factors, size, axis=0)[:200]
    np.testing.assert_array_equal(out, ((x - 9) @ (w * spread)).astype(np.float32))


def test_conv_has_multipliers_for_each_kernel_position(rng, run_one, info, pack):
    x, w = rng.integers(0, 256, (2, 20, 5, 5)), rng.integers(-2, 2, (3, 20, 3, 1))
    factors = rng.integers(1, 256, (3, 2, 3, 1))
    attrs = {"strides": [1, 1], "pads": [0, 0, 0, 0], "dilations": [1, 1], "group": 1}
    weight = pack(w, bits=2).grouped(factors, 16)
    out = run_one("conv", [x], [info("x", 4, zero=7)], info("y", 4, None), weight=weight, attrs=attrs)
    whole = w * np.repeat(factors, 16, axis=1)[:, :20]
    windows = np.stack([x[:, :, tap : tap + 3] - 7 for tap in range(3)], axis=2)
    np.testing.assert_array_equal(out, np.einsum("bcthw,oct->bohw", windows, whole[..., 0]))


def test_sums_beyond_32_bits_are_exact(run_one, info, pack):
    weight = pack(np.full((1, 1024), 127)).grouped(np.full((1, 8), 255), 128)
    out = run_one(
        "gemm", [np.full((1, 1024), 255)], [info("x", 2)], info("y", 2, 16, scale=2.0**20), weight=weight
    )
    assert out[0, 0] == round(1024 * 127 * 255 * 255 / 2**20)
