"""Weights with points against plain int64 arithmetic over their rows, on both engines."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from passes.artifact import WeightLayout
from passes.artifact.points import Points

COUNTS = np.array([2, 1, 3, 1], np.int64)
ROWS = int(COUNTS.sum())


def with_points(packed, multiplier):
    return replace(packed, points=Points(COUNTS[: len(packed.scale)], np.asarray(multiplier, np.int64)))


def combined(sums, multiplier, axis=1):
    """What rows give, times their multipliers, added up by channel."""
    shape = [1] * sums.ndim
    shape[axis] = -1
    parts = np.split(sums * np.reshape(multiplier, shape), np.cumsum(COUNTS)[:-1], axis=axis)
    return np.concatenate([part.sum(axis=axis, keepdims=True) for part in parts], axis=axis)


def test_hand_made_gemm(run_one, info, pack):
    # Channel 0: 16 * (1 * 1 + 2 * 2) + 3 * (1 * -1 + 2 * 0) = 77, and a bias of -6; channel 1: 1 * (3 + 2).
    weight = pack([[1, 2], [-1, 0], [3, 1]], bits=3, scale=(1.0, 1.0))
    weight = replace(weight, points=Points(np.array([2, 1]), np.array([16, 3, 1])))
    out = run_one(
        "gemm", [np.array([[3, 4]])], [info("x", 2, zero=2)], info("y", 2, None), weight=weight,
        bias=np.array([-6, 0]),
    )  # fmt: skip
    np.testing.assert_array_equal(out, [[71.0, 5.0]])


@pytest.mark.parametrize("layout", [WeightLayout.OUT_IN, WeightLayout.IN_OUT])
@pytest.mark.parametrize("bits", [2, 4, 6])
@pytest.mark.parametrize("act", [8, 16])
def test_gemm(rng, run_one, info, pack, layout, bits, act):
    x, w = (
        rng.integers(0, 1 << act, (9, 70)),
        rng.integers(-(1 << bits - 1), 1 << bits - 1, (70, ROWS)),
    )
    factors = rng.integers(1, 129, ROWS)
    across = layout is WeightLayout.OUT_IN
    weight = with_points(pack(w.T if across else w, layout, bits, scale=(1.0,) * 4), factors)
    scale = 2.0**12
    out = run_one("gemm", [x], [info("x", 2, act, zero=9)], info("y", 2, 16, scale=scale), weight=weight)
    exact = combined((x - 9) @ w, factors)
    np.testing.assert_array_equal(out, np.clip(np.rint(exact / scale), 0, 65535))


@pytest.mark.parametrize(("group", "layout"), [(1, "out_in"), (2, "grouped"), (4, "depthwise")])
def test_conv(rng, run_one, info, pack, group, layout):
    inner = 1 if group == 4 else 3
    x = rng.integers(0, 256, (2, inner * group, 5, 5))
    w, factors = rng.integers(-4, 4, (ROWS, inner, 3, 1)), rng.integers(1, 256, ROWS)
    attrs = {"strides": [1, 1], "pads": [0, 0, 0, 0], "dilations": [1, 1], "group": group}
    weight = with_points(pack(w, WeightLayout(layout), 3, scale=(1.0,) * 4), factors)
    out = run_one("conv", [x], [info("x", 4, zero=7)], info("y", 4, None), weight=weight, attrs=attrs)
    windows = np.stack([x[:, :, tap : tap + 3] - 7 for tap in range(3)], axis=2)
    sources = np.repeat(np.arange(4) // (4 // group), COUNTS)[:, None] * inner + np.arange(inner)
    sums = np.stack(
        [np.einsum("bcthw,ct->bhw", windows[:, s], w[r, ..., 0]) for r, s in enumerate(sources)], 1
    )
    np.testing.assert_array_equal(out, combined(sums, factors).astype(np.float32))
