"""Matrix products against plain int64 arithmetic."""

from __future__ import annotations

import numpy as np
import pytest

from passes.artifact import WeightLayout
from passes.errors import ArtifactError
from qtool.runtime.exact import ExactProduct


def test_hand_made_gemm(run_one, info, pack):
    # (x - 2) @ w = [1*1 + 2*3, 1*2 + 2*4] = [7, 10]; + [1, -30]; scale 1/4, ties to even.
    out = run_one(
        "gemm",
        [[[3, 4]]],
        [info("x", 2, zero=2)],
        info("y", 2, scale=4.0, zero=9),
        weight=pack([[1, 2], [3, 4]], WeightLayout.IN_OUT),
        bias=np.array([1, -30]),
    )
    np.testing.assert_array_equal(out, [[11, 4]])


@pytest.mark.parametrize("layout", [WeightLayout.OUT_IN, WeightLayout.IN_OUT])
def test_gemm_takes_any_leading_axes(rng, run_one, info, pack, layout):
    x, w = rng.integers(0, 256, (2, 3, 40)), rng.integers(-128, 128, (40, 5))
    stored = w if layout is WeightLayout.IN_OUT else w.T
    out = run_one("gemm", [x], [info("x", 3, zero=9)], info("y", 3, None), weight=pack(stored, layout))
    np.testing.assert_array_equal(out, (x - 9) @ w)


def test_long_sums_are_exact(run_one, info, pack):
    x, w = np.full((1, 2000), 255), np.full((1, 2000), 127)
    w[0, 0] = 126
    out = run_one("gemm", [x], [info("x", 2)], info("y", 2, 16, scale=1024.0), weight=pack(w))
    assert out[0, 0] == round((2000 * 127 - 1) * 255 / 1024)


def test_wrong_depth_is_refused(run_one, info, pack):
    with pytest.raises(ArtifactError, match="last axis of 2"):
        run_one("gemm", [[[1, 2, 3]]], [info("x", 2)], info("y", 2), weight=pack([[1, 2]]))


@pytest.mark.parametrize(
    ("a", "b"), [((3, 4), (4, 5)), ((2, 1, 3, 4), (5, 4, 2)), ((4,), (4, 2)), ((3, 4), (4,))]
)
def test_matmul_of_computed_tensors(rng, run_one, info, a, b):
    left, right = rng.integers(0, 256, a), rng.integers(-128, 128, b)
    infos = [info("a", len(a), scale=0.5, zero=3), info("b", len(b), signed=True, scale=2.0, zero=-7)]
    out = run_one("matmul", [left, right], infos, info("y", 1, None))
    np.testing.assert_array_equal(out, (left - 3) @ (right + 7))


@pytest.mark.parametrize(
    ("peak", "chunk", "dtype"), [(255 * 127, 518, np.float32), (65535 * 127, None, np.float64)]
)
def test_plan_keeps_every_sum_exact(peak, chunk, dtype):
    product = ExactProduct.plan(peak, 1 << 20, peak << 20)
    assert product.dtype is dtype
    if chunk:
        assert product.chunk == chunk
    limit = 1 << (24 if dtype is np.float32 else 53)
    assert product.chunk * peak <= limit < (product.chunk + 1) * peak


def test_chunks_add_up(rng):
    left, right = rng.integers(-9, 9, (3, 100)), rng.integers(-9, 9, (100, 4))
    out = ExactProduct(np.float32, 7)(left.astype(np.float32), right.astype(np.float32))
    np.testing.assert_array_equal(out, left @ right)
