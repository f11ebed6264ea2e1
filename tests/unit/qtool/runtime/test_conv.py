"""Convolutions: hand-made numbers, then agreement with ONNX Runtime's float kernels on small integers."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from passes.artifact import WeightLayout
from passes.errors import ArtifactError

PLAIN_1D = {"strides": [1], "pads": [0, 0], "dilations": [1], "group": 1}


def test_hand_made_convolution_with_zero_points_bias_and_relu(run_one, info, pack):
    # (x - 1) = [0, 1, 2, 3]; w = [1, -2]; sums + 4 = [2, 1, 0]; scale 2 * 1 / 4 = 1/2, ties to even.
    out = run_one(
        "conv",
        [[[[1, 2, 3, 4]]]],
        [info("x", 3, scale=2.0, zero=1)],
        info("y", 3, signed=True, scale=4.0, zero=-3),
        attrs=PLAIN_1D,
        weight=pack([[[1, -2]]]),
        bias=np.array([4]),
        lo=-3,
    )
    np.testing.assert_array_equal(out, [[[-2, -3, -3]]])


def test_hand_made_padding_is_the_zero_point(run_one, info, pack):
    attrs = {**PLAIN_1D, "pads": [1, 1]}
    out = run_one(
        "conv",
        [[[[7, 9]]]],
        [info("x", 3, zero=5)],
        info("y", 3, None),
        attrs=attrs,
        weight=pack([[[1, 10, 100]]]),
    )
    np.testing.assert_array_equal(out, [[[420.0, 42.0]]])


def test_weight_zero_points_and_scales_are_per_output_channel(run_one, info, pack):
    weight = pack([[[3]], [[3]]], signed=False, bits=4, scale=[1.0, 0.5], zero=[1, 2])
    out = run_one("conv", [[[[4]]]], [info("x", 3)], info("y", 3, None), attrs=PLAIN_1D, weight=weight)
    np.testing.assert_array_equal(out, [[[8.0], [2.0]]])


CASES = [
    # x shape, w shape, attrs, layout
    ((2, 3, 11), (4, 3, 3), {"strides": [2], "pads": [1, 2], "dilations": [2], "group": 1}, "out_in"),
    (
        (3, 5, 9, 8),
        (6, 5, 3, 3),
        {"strides": [1, 2], "pads": [1, 0, 2, 1], "dilations": [1, 2], "group": 1},
        "out_in",
    ),
    (
        (2, 8, 5, 7),
        (3, 8, 1, 1),
        {"strides": [1, 1], "pads": [0] * 4, "dilations": [1, 1], "group": 1},
        "out_in",
    ),
    (
        (2, 8, 5, 7),
        (3, 8, 1, 1),
        {"strides": [2, 3], "pads": [0] * 4, "dilations": [1, 1], "group": 1},
        "out_in",
    ),
    (
        (1, 2, 4, 5, 6),
        (3, 2, 2, 3, 2),
        {"strides": [1, 2, 1], "pads": [1, 1, 0, 0, 1, 1], "dilations": [1] * 3, "group": 1},
        "out_in",
    ),
    (
        (2, 6, 8, 8),
        (9, 2, 3, 3),
        {"strides": [1, 1], "pads": [1] * 4, "dilations": [1, 1], "group": 3},
        "grouped",
    ),
    (
        (2, 6, 8, 8),
        (6, 2, 1, 1),
        {"strides": [1, 1], "pads": [0] * 4, "dilations": [1, 1], "group": 3},
        "grouped",
    ),
    (
        (2, 7, 9, 9),
        (7, 1, 3, 3),
        {"strides": [2, 2], "pads": [0, 0, 1, 1], "dilations": [1, 1], "group": 7},
        "depthwise",
    ),
    ((2, 4, 9), (8, 1, 3), {"strides": [1], "pads": [2, 2], "dilations": [2], "group": 4}, "depthwise"),
]


@pytest.mark.parametrize(("x_shape", "w_shape", "attrs", "layout"), CASES)
def test_sums_equal_onnx_runtime(rng, run_one, info, pack, onnx_node, x_shape, w_shape, attrs, layout):
    x = rng.integers(0, 256, x_shape)
    w = rng.integers(-128, 128, w_shape)
    bias = rng.integers(-1000, 1000, w_shape[0])
    weight = pack(w, WeightLayout(layout))
    rank = len(x_shape)
    out = run_one(
        "conv", [x], [info("x", rank, zero=13)], info("y", rank, None), attrs=attrs, weight=weight, bias=bias
    )
    expected = onnx_node("Conv", [x - 13], [np.float32(w), np.float32(bias)], **attrs)
    np.testing.assert_array_equal(out, expected)


def test_codes_equal_exact_rational_rounding(rng, run_one, info, pack):
    x, w = rng.integers(-128, 128, (2, 5, 6, 6)), rng.integers(-8, 8, (4, 5, 3, 3))
    scale = rng.uniform(0.001, 0.02, 4).astype(np.float32)
    bias = rng.integers(-5000, 5000, 4)
    attrs = {"strides": [1, 1], "pads": [0] * 4, "dilations": [1, 1], "group": 1}
    x_info = info("x", 4, signed=True, scale=float(np.float32(0.37)), zero=-5)
    y_info = info("y", 4, scale=float(np.float32(0.71)), zero=100)
    out = run_one("conv", [x], [x_info], y_info, attrs=attrs, weight=pack(w, bits=4, scale=scale), bias=bias)
    for n, m, i, j in np.ndindex(2, 4, 4, 4):
        total = int(((x[n, :, i : i + 3, j : j + 3] + 5) * w[m]).sum()) + int(bias[m])
        real = total * Fraction(x_info.scale) * Fraction(float(scale[m])) / Fraction(y_info.scale)
        assert out[n, m, i, j] == min(max(round(real) + 100, 0), 255)


def test_sixteen_bit_sums_are_exact_beyond_float32(run_one, info, pack):
    x = np.full((1, 64, 3), 65535)
    x[0, :, 1] -= np.arange(64)
    w = np.full((1, 64, 1), 127)
    w[0, ::2] = 126
    out = run_one(
        "conv", [x], [info("x", 3, 16)], info("y", 3, 16, scale=float(2**14)), attrs=PLAIN_1D, weight=pack(w)
    )
    sums = np.einsum("ncp,mcq->nmp", x, w).astype(object)
    assert out[0, 0].tolist() == [round(Fraction(int(s), 2**14)) for s in sums[0, 0]]


def test_big_inputs_are_cut_into_blocks_without_a_trace(rng, run_one, info, pack, onnx_node, monkeypatch):
    monkeypatch.setattr("qtool.runtime.conv.COLUMN_ELEMENTS", 200)
    x, w = rng.integers(0, 256, (3, 2, 9, 9)), rng.integers(-128, 128, (4, 2, 3, 3))
    attrs = {"strides": [2, 1], "pads": [1] * 4, "dilations": [1, 1], "group": 1}
    out = run_one("conv", [x], [info("x", 4)], info("y", 4, None), attrs=attrs, weight=pack(w))
    np.testing.assert_array_equal(out, onnx_node("Conv", [x], [np.float32(w)], **attrs))


def test_wrong_channels_name_the_step(run_one, info, pack):
    with pytest.raises(ArtifactError, match=r"step 'step' \(conv\): expected 2 input channels"):
        run_one(
            "conv",
            [np.zeros((1, 3, 4))],
            [info("x", 3)],
            info("y", 3),
            attrs=PLAIN_1D,
            weight=pack([[[1], [1]]]),
        )


TRANSPOSE_CASES = [
    (
        (2, 3, 5),
        (3, 4, 3),
        {"strides": [2], "pads": [1, 0], "dilations": [1], "group": 1, "output_padding": [1]},
        "in_out",
    ),
    (
        (2, 4, 5, 4),
        (4, 3, 3, 2),
        {"strides": [2, 3], "pads": [1, 0, 0, 1], "dilations": [2, 1], "group": 1, "output_padding": [0, 1]},
        "in_out",
    ),
    (
        (2, 4, 5, 4),
        (4, 3, 3, 3),
        {"strides": [2, 2], "pads": [1] * 4, "dilations": [1, 1], "group": 2, "output_padding": [1, 1]},
        "grouped",
    ),
]


@pytest.mark.parametrize(("x_shape", "w_shape", "attrs", "layout"), TRANSPOSE_CASES)
def test_transposed_sums_equal_onnx_runtime(
    rng, run_one, info, pack, onnx_node, x_shape, w_shape, attrs, layout
):
    x, w = rng.integers(0, 256, x_shape), rng.integers(-128, 128, w_shape)
    bias = rng.integers(-1000, 1000, w_shape[1] * attrs["group"])
    rank = len(x_shape)
    out = run_one(
        "conv_transpose",
        [x],
        [info("x", rank, zero=200)],
        info("y", rank, None),
        attrs=attrs,
        weight=pack(w, WeightLayout(layout)),
        bias=bias,
    )
    expected = onnx_node("ConvTranspose", [x - 200], [np.float32(w), np.float32(bias)], **attrs)
    np.testing.assert_array_equal(out, expected)


def test_absurd_padding_and_strides_are_refused_before_memory_is_taken(run_one, info, pack):
    attrs = {"strides": [1, 1], "pads": [1 << 16] * 4, "dilations": [1, 1], "group": 1}
    with pytest.raises(ArtifactError, match="more than"):
        run_one(
            "conv",
            [np.zeros((1, 1, 1, 1))],
            [info("x", 4)],
            info("y", 4),
            attrs=attrs,
            weight=pack([[[[1]]]]),
        )
    attrs = {
        "strides": [1 << 16] * 2,
        "pads": [0] * 4,
        "dilations": [1, 1],
        "group": 1,
        "output_padding": [0, 0],
    }
    weight = pack([[[[1]]]], WeightLayout.IN_OUT)
    with pytest.raises(ArtifactError, match="more than"):
        run_one(
            "conv_transpose",
            [np.zeros((1, 1, 2, 2))],
            [info("x", 4)],
            info("y", 4),
            attrs=attrs,
            weight=weight,
        )


def test_an_empty_batch_gives_an_empty_result(run_one, info, pack):
    out = run_one(
        "conv", [np.zeros((0, 1, 4))], [info("x", 3)], info("y", 3), attrs=PLAIN_1D, weight=pack([[[1, 1]]])
    )
    assert out.shape == (0, 1, 3)
