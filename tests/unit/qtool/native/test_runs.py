"""Products of weights with multipliers: every instruction set against the numpy reference."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from passes.artifact import PackedWeight, WeightLayout
from passes.numerics import IntFormat, RequantRule, Rounding
from qtool.runtime.native._kernels import Gemm
from qtool.runtime.native.conv import conv, gemm
from qtool.runtime.native.matrix import prepare_matrix

SEEDS = st.integers(0, 2**32 - 1)
BITS = st.integers(1, 8)
SIZES = st.sampled_from([16, 32, 64, 128])
RULES = st.tuples(st.sampled_from(list(RequantRule)), st.sampled_from(list(Rounding)))


def grouped(rng, shape, bits, size, layout):
    """A weight whose multipliers keep every sum within 32 bits."""
    fmt = IntFormat(bits, signed=True)
    codes = rng.integers(fmt.qmin, fmt.qmax + 1, shape)
    channels, axis = (shape[1], 0) if layout is WeightLayout.IN_OUT else (shape[0], 1)
    scale = rng.integers(1, 16, channels) * 2.0**-12
    weight = PackedWeight.pack(
        codes, name="w", layout=layout, fmt=fmt, scale=scale, zero_point=np.zeros(1, np.int64)
    )
    groups = [*shape]
    groups[axis] = -(-shape[axis] // size)
    most = min(255, 2**30 // (255 * 2 ** (bits - 1) * codes.size // channels))
    return weight.grouped(rng.integers(1, most + 1, groups), size)


@settings(deadline=None, max_examples=100)
@given(seed=SEEDS, bits=BITS, act_bits=BITS, size=SIZES, rules=RULES)
def test_gemm(executor, make, agree, seed, bits, act_bits, size, rules):
    rng = np.random.default_rng(seed)
    m, n = int(rng.choice([1, 1, 2, 13, 50])), int(rng.integers(1, 70))
    k = int(rng.choice([1, 31, 64, 97, 200]))
    layout = (WeightLayout.OUT_IN, WeightLayout.IN_OUT)[rng.integers(2)]
    shape = (n, k) if layout is WeightLayout.OUT_IN else (k, n)
    x, y = make.info(rng, "x", 2, act_bits), make.info(rng, "y", 2, rng.choice([8, None]))
    weight = grouped(rng, shape, bits, size, layout)
    node = make.node(rng, "gemm", [x], y, rules, weight=weight, bias=rng.integers(-5000, 5000, n))
    agree(node, gemm(node, executor), [make.codes(rng, x, (m, k))])


@settings(deadline=None, max_examples=60)
@given(seed=SEEDS, bits=BITS, size=SIZES)
def test_conv(executor, make, agree, seed, bits, size):
    rng = np.random.default_rng(seed)
    inner, outer = int(rng.choice([3, 16, 20, 32, 70])), int(rng.integers(1, 40))
    kernel = rng.integers(1, 4, 2).tolist()
    attrs = {"group": 1, "strides": [1, 2], "dilations": [1, 1], "pads": rng.integers(0, 3, 4).tolist()}
    x, y = make.info(rng, "x", 4, 8), make.info(rng, "y", 4, 8)
    weight = grouped(rng, (outer, inner, *kernel), bits, size, WeightLayout.OUT_IN)
    node = make.node(rng, "conv", [x], y, ("exact", "half_even"), weight=weight, attrs=attrs)
    agree(node, conv(node, executor), [make.codes(rng, x, (2, inner, 6, 7))], images=True)


def test_runs_that_do_not_fit_are_refused(executor, make):
    rng = np.random.default_rng(0)
    x, y = make.info(rng, "x", 2, 8), make.info(rng, "y", 2, 8)
    weight = grouped(rng, (5, 40), 4, 16, WeightLayout.OUT_IN)
    layer: Gemm = prepare_matrix(
        make.node(rng, "gemm", [x], y, ("exact", "half_even"), weight=weight), executor
    )
    with pytest.raises(ValueError, match="set already"):
        layer.set_runs(16, 40, np.ones((5, 3), np.int32))
    plain = make.weight(rng, (5, 40), 5, 4, WeightLayout.OUT_IN)
    zeroed = PackedWeight.pack(
        plain.unpack(),
        name="w",
        layout=plain.layout,
        fmt=plain.format,
        scale=plain.scale,
        zero_point=np.full(1, plain.format.qmin + 8),
    )
    layer = prepare_matrix(make.node(rng, "gemm", [x], y, ("exact", "half_even"), weight=zeroed), executor)
    for size, inner, shape in (
        (16, 7, (5, 3)),
        (16, 0, (5, 3)),
        (0, 40, (5, 3)),
        (16, 40, (5, 2)),
        (16, 40, (4, 3)),
    ):
        with pytest.raises(ValueError, match="runs"):
            layer.set_runs(size, inner, np.ones(shape, np.int32))
