"""Sums, products, tables and pools: native kernels against the numpy reference."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from passes.errors import ArtifactError
from passes.numerics import RequantRule, Rounding
from qtool.runtime.native import elementwise, pooling, tables

SEEDS = st.integers(0, 2**32 - 1)
RULES = st.tuples(st.sampled_from(list(RequantRule)), st.sampled_from(list(Rounding)))
OUT_BITS = st.sampled_from([None, 3, 8, 8])
SHAPES = [((300,), (300,)), ((3, 40), (3, 40)), ((5, 17), (17,)), ((2, 3, 9), (2, 1, 9)), ((4, 1), (1, 6))]


@settings(deadline=None, max_examples=150)
@given(seed=SEEDS, op=st.sampled_from(["add", "sub", "mul"]), out_bits=OUT_BITS, rules=RULES)
def test_two_operands(executor, make, agree, seed, op, out_bits, rules):
    rng = np.random.default_rng(seed)
    shapes = SHAPES[rng.integers(len(SHAPES))]
    infos = [
        make.info(rng, name, len(shape), int(rng.integers(1, 9)))
        for name, shape in zip("ab", shapes, strict=True)
    ]
    node = make.node(rng, op, infos, make.info(rng, "y", len(shapes[0]), out_bits), rules)
    arrays = [make.codes(rng, info, shape) for info, shape in zip(infos, shapes, strict=True)]
    agree(node, elementwise.KERNELS[op](node, executor), arrays)


@settings(deadline=None, max_examples=60)
@given(seed=SEEDS, rules=RULES)
def test_requantize_and_concat(executor, make, agree, seed, rules):
    rng = np.random.default_rng(seed)
    a, b, y = (make.info(rng, name, 3, int(rng.integers(1, 9))) for name in "aby")
    x = [make.codes(rng, info, (2, extent, 5)) for info, extent in ((a, 3), (b, 7))]
    node = make.node(rng, "requantize", [a], y, rules)
    agree(node, tables.requantize(node, executor), x[:1])
    joined = make.node(rng, "concat", [a, b], y, rules, attrs={"axis": 1})
    agree(joined, tables.concat(joined, executor, axis=1), x)


def test_concat_of_equal_parameters_copies(executor, make, agree):
    rng = np.random.default_rng(1)
    x = make.info(rng, "x", 2, 8)
    node = make.node(np.random.default_rng(3), "concat", [x, x], x, ("exact", "half_even"), attrs={"axis": 0})
    agree(node, tables.concat(node, executor, axis=0), [make.codes(rng, x, (n, 4)) for n in (2, 3)])


def test_lut(executor, make, agree):
    rng = np.random.default_rng(5)
    x, y = make.info(rng, "x", 2, 6), make.info(rng, "y", 2, 8)
    node = make.node(rng, "lut", [x], y, ("exact", "half_even"), table=rng.integers(y.qmin, y.qmax + 1, 64))
    agree(node, tables.lut(node, executor), [make.codes(rng, x, (30, 7))])


@settings(deadline=None, max_examples=100)
@given(seed=SEEDS, op=st.sampled_from(["max_pool", "average_pool"]), out_bits=OUT_BITS, rules=RULES)
def test_pools(executor, make, agree, seed, op, out_bits, rules):
    rng = np.random.default_rng(seed)
    axes, bits = int(rng.choice([1, 2])), int(rng.integers(1, 9))
    kernel, strides, dilations = (rng.integers(low, 4, axes).tolist() for low in (2, 1, 1))
    attrs = {
        "kernel_shape": kernel,
        "strides": strides,
        "dilations": dilations,
        "pads": rng.integers(0, 2, 2 * axes).tolist(),
        "ceil_mode": int(rng.integers(2)),
        "count_include_pad": int(rng.integers(2)),
    }
    x = make.info(rng, "x", axes + 2, bits)
    y = x if op == "max_pool" else make.info(rng, "y", axes + 2, out_bits)
    node = make.node(rng, op, [x], y, rules, attrs=attrs)
    codes = make.codes(rng, x, (2, int(rng.integers(1, 70)), *rng.integers(8, 12, axes)))
    agree(node, pooling.KERNELS[op](node, executor), [codes], images=True)


@settings(deadline=None, max_examples=40)
@given(seed=SEEDS, out_bits=OUT_BITS, rules=RULES)
def test_global_average_pool(executor, make, agree, seed, out_bits, rules):
    rng = np.random.default_rng(seed)
    x, y = make.info(rng, "x", 4, 8), make.info(rng, "y", 4, out_bits)
    node = make.node(rng, "global_average_pool", [x], y, rules)
    codes = make.codes(rng, x, (2, int(rng.integers(1, 70)), 7, 7))
    agree(node, pooling.global_average_pool(node, executor), [codes], images=True)


def test_wide_codes_are_refused(executor, make):
    rng = np.random.default_rng(0)
    node = make.node(
        rng, "lut", [make.info(rng, "x", 1, 16)], make.info(rng, "y", 1, 8), ("exact", "half_even")
    )
    with pytest.raises(ArtifactError, match="found 16 bits in 'x'"):
        tables.lut(node, executor)
