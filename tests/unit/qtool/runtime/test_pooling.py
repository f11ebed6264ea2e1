"""Pools and means against ONNX Runtime and by hand."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from passes.errors import ArtifactError

POOLS = [
    ((2, 3, 7, 6), {"kernel_shape": [2, 3], "strides": [2, 2], "pads": [0, 1, 1, 0], "ceil_mode": 0}),
    ((2, 3, 7, 8), {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1], "ceil_mode": 1}),
    ((1, 2, 9), {"kernel_shape": [2], "strides": [3], "pads": [0, 1], "ceil_mode": 1}),
    ((1, 2, 5, 4, 6), {"kernel_shape": [2, 2, 2], "strides": [1, 2, 2], "pads": [0] * 6, "ceil_mode": 0}),
]


@pytest.mark.parametrize(("shape", "attrs"), POOLS)
def test_max_pool_equals_onnx_runtime(rng, run_one, info, onnx_node, shape, attrs):
    x = rng.integers(-128, 128, shape)
    attrs = {**attrs, "dilations": [1] * (len(shape) - 2)}
    rank = len(shape)
    out = run_one("max_pool", [x], [info("x", rank, signed=True)], info("y", rank, signed=True), attrs=attrs)
    np.testing.assert_array_equal(out, onnx_node("MaxPool", [x], **attrs))


@pytest.mark.parametrize("padding_counts", [0, 1])
@pytest.mark.parametrize(("shape", "attrs"), POOLS)
def test_average_pool_equals_onnx_runtime(rng, run_one, info, onnx_node, shape, attrs, padding_counts):
    x = rng.integers(0, 256, shape)
    attrs = {**attrs, "dilations": [1] * (len(shape) - 2), "count_include_pad": padding_counts}
    rank = len(shape)
    out = run_one("average_pool", [x], [info("x", rank, zero=50)], info("y", rank, None), attrs=attrs)
    np.testing.assert_allclose(out, onnx_node("AveragePool", [x - 50], **attrs), rtol=1e-6, atol=1e-5)


def test_average_pool_rounds_once_to_even(run_one, info):
    attrs = {"kernel_shape": [2], "strides": [1], "pads": [0, 0], "dilations": [1], "ceil_mode": 0}
    out = run_one(
        "average_pool",
        [[[[1, 2, 3, 4]]]],
        [info("x", 3)],
        info("y", 3),
        attrs={**attrs, "count_include_pad": 0},
    )
    np.testing.assert_array_equal(out, [[[2, 2, 4]]])


def test_global_average_equals_exact_rational_rounding(rng, run_one, info):
    x = rng.integers(0, 256, (2, 3, 7, 7))
    y = info("y", 4, scale=float(np.float32(0.3)), zero=8)
    out = run_one("global_average_pool", [x], [info("x", 4, scale=0.25, zero=10)], y)
    assert out.shape == (2, 3, 1, 1)
    for n, c in np.ndindex(2, 3):
        mean = Fraction(int(x[n, c].sum()) - 490, 49) * Fraction(1, 4) / Fraction(y.scale)
        assert out[n, c, 0, 0] == round(mean) + 8


def test_reduce_mean_over_any_axes(run_one, info):
    x = np.arange(12).reshape(2, 3, 2)
    attrs = {"axes": [-1, 1], "keepdims": 0}
    out = run_one("reduce_mean", [x], [info("x", 3)], info("y", 1, scale=0.5), attrs=attrs)
    np.testing.assert_array_equal(out, [5, 17])


def test_a_window_of_padding_only_is_refused(run_one, info):
    attrs = {"kernel_shape": [1], "strides": [1], "pads": [1, 0], "dilations": [1], "ceil_mode": 0}
    with pytest.raises(ArtifactError, match="nothing but padding"):
        run_one(
            "average_pool",
            [[[[1, 2]]]],
            [info("x", 3)],
            info("y", 3),
            attrs={**attrs, "count_include_pad": 0},
        )
