"""Matrix products and convolutions: native kernels against the numpy reference."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from passes.artifact import WeightLayout
from passes.errors import ArtifactError
from passes.numerics import RequantRule, Rounding
from qtool.runtime.native.conv import conv, gemm

SEEDS = st.integers(0, 2**32 - 1)
BITS = st.integers(1, 8)
RULES = st.tuples(st.sampled_from(list(RequantRule)), st.sampled_from(list(Rounding)))
OUT_BITS = st.sampled_from([None, 4, 8, 8])


def bias_of(rng, channels):
    return rng.integers(-5000, 5000, channels) if rng.integers(2) else None


@settings(deadline=None, max_examples=150)
@given(seed=SEEDS, bits=BITS, act_bits=BITS, out_bits=OUT_BITS, rules=RULES)
def test_gemm(executor, make, agree, seed, bits, act_bits, out_bits, rules):
    rng = np.random.default_rng(seed)
    m, n, k = (
        int(rng.choice([1, 2, 7, 13, 50])),
        int(rng.integers(1, 70)),
        int(rng.choice([1, 3, 31, 64, 97, 200])),
    )
    layout = (WeightLayout.OUT_IN, WeightLayout.IN_OUT)[rng.integers(2)]
    shape = (n, k) if layout is WeightLayout.OUT_IN else (k, n)
    x = make.info(rng, "x", 2, act_bits)
    weight = make.weight(rng, shape, n, bits, layout)
    node = make.node(
        rng, "gemm", [x], make.info(rng, "y", 2, out_bits), rules, weight=weight, bias=bias_of(rng, n)
    )
    agree(node, gemm(node, executor), [make.codes(rng, x, (m, k))])


@settings(deadline=None, max_examples=150)
@given(
    seed=SEEDS,
    bits=BITS,
    out_bits=OUT_BITS,
    rules=RULES,
    kind=st.sampled_from(["dense", "grouped", "depthwise"]),
)
def test_conv(executor, make, agree, seed, bits, out_bits, rules, kind):
    rng = np.random.default_rng(seed)
    axes = int(rng.choice([1, 2, 2]))
    inner, group = int(rng.integers(1, 20)), 1 if kind == "dense" else int(rng.integers(2, 40))
    outer = int(rng.integers(1, 40)) if kind == "dense" else group * int(rng.choice([1, 1, 3]))
    inner = 1 if kind == "depthwise" else inner
    layout = {
        "dense": WeightLayout.OUT_IN,
        "grouped": WeightLayout.GROUPED,
        "depthwise": WeightLayout.DEPTHWISE,
    }[kind]
    kernel, strides, dilations = (rng.integers(1, top, axes).tolist() for top in (4, 3, 3))
    attrs = {
        "group": group,
        "strides": strides,
        "dilations": dilations,
        "pads": rng.integers(0, 3, 2 * axes).tolist(),
    }
    x = make.info(rng, "x", axes + 2, int(rng.integers(1, 9)))
    weight = make.weight(rng, (outer, inner, *kernel), outer, bits, layout)
    y = make.info(rng, "y", axes + 2, out_bits)
    node = make.node(rng, "conv", [x], y, rules, weight=weight, bias=bias_of(rng, outer), attrs=attrs)
    shape = (2, inner * group, *rng.integers(7, 12, axes))
    agree(node, conv(node, executor), [make.codes(rng, x, shape)], images=True)


def test_a_point_convolution_reads_its_input_in_place(executor, make, agree):
    rng = np.random.default_rng(0)
    attrs = {"group": 1, "strides": [1, 1], "dilations": [1, 1], "pads": [0] * 4}
    x, y = make.info(rng, "x", 4, 8), make.info(rng, "y", 4, 8)
    weight = make.weight(rng, (48, 64, 1, 1), 48, 4, WeightLayout.OUT_IN)
    node = make.node(rng, "conv", [x], y, ("exact", "half_even"), weight=weight, attrs=attrs)
    agree(node, conv(node, executor), [make.codes(rng, x, (1, 64, 20, 20))], images=True)


def test_sums_beyond_32_bits_are_refused(executor, make):
    rng = np.random.default_rng(0)
    x, y = make.info(rng, "x", 2, 8), make.info(rng, "y", 2, 8)
    weight = make.weight(rng, (1, 4), 1, 8, WeightLayout.OUT_IN)
    node = make.node(rng, "gemm", [x], y, ("exact", "half_even"), weight=weight, bias=np.array([2**31]))
    with pytest.raises(ArtifactError, match="32 bits"):
        gemm(node, executor)


def test_weights_of_16_bits_are_refused(executor, make):
    rng = np.random.default_rng(0)
    x, y = make.info(rng, "x", 2, 8), make.info(rng, "y", 2, 8)
    weight = make.weight(rng, (1, 4), 1, 16, WeightLayout.OUT_IN)
    node = make.node(rng, "gemm", [x], y, ("exact", "half_even"), weight=weight)
    with pytest.raises(ArtifactError, match="8 bits or less, found 16"):
        gemm(node, executor)
