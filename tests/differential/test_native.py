"""The native engine has the bits of the reference: steps of every operation, width, rule and rounding."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from passes.artifact import Step, TensorInfo, WeightLayout
from passes.numerics import RequantRule, Rounding
from qtool.runtime.native import is_built

pytestmark = pytest.mark.skipif(not is_built(), reason="the native kernels are not built")

BITS = st.sampled_from([1, 2, 3, 4, 5, 6, 7, 8, 8, 16, 16])
Bits = tuple[int, int, int | None]
SEEDS = st.integers(0, 2**32 - 1)


any_rule = given(
    seed=SEEDS,
    bits=st.tuples(BITS, BITS, st.none() | BITS),
    rule=st.sampled_from([*RequantRule]),
    rounding=st.sampled_from([*Rounding]),
)


@any_rule
@settings(max_examples=60)
def test_gemm(native: Any, seed: int, bits: Bits, rule: str, rounding: str) -> None:
    make = native.Maker(seed)
    depth, channels = make.integer(1, 70), make.integer(1, 40)
    x, y = make.tensor("x", 2, bits[0]), make.tensor("y", 2, bits[2], reach=float(depth))
    layout = (WeightLayout.OUT_IN, WeightLayout.IN_OUT)[make.integer(0, 1)]
    shape = (channels, depth) if layout is WeightLayout.OUT_IN else (depth, channels)
    weight = make.weight(shape, layout, bits[1], channels)
    bias = make.rng.integers(-500, 500, channels)
    step = Step("gemm", "step", ("x",), "y", {}, weight, bias, **native.bounds(make, y))
    native.check(step, [x, y], {"x": make.codes(x, (make.integer(1, 9), depth))}, rule, rounding)


@any_rule
@settings(max_examples=80)
def test_conv(native: Any, seed: int, bits: Bits, rule: str, rounding: str) -> None:
    make = native.Maker(seed)
    rank = make.integer(1, 3)
    group = (1, 1, make.integer(2, 3), make.integer(2, 20))[kind := make.integer(0, 3)]
    inner = 1 if kind == 3 else make.integer(1, 5)
    channels = group if kind == 3 else group * make.integer(1, 9)
    kernel = tuple(make.integer(1, 3) for _ in range(rank))
    attrs: dict[str, Any] = {
        "strides": [make.integer(1, 2) for _ in kernel],
        "dilations": [make.integer(1, 2) for _ in kernel],
        "pads": [make.integer(0, 2) for _ in range(2 * rank)],
        "group": group,
    }
    layout = (WeightLayout.OUT_IN, WeightLayout.OUT_IN, WeightLayout.GROUPED, WeightLayout.DEPTHWISE)[kind]
    weight = make.weight((channels, inner, *kernel), layout, bits[1], channels)
    x, y = make.tensor("x", 2 + rank, bits[0]), make.tensor("y", 2 + rank, bits[2], reach=9.0)
    bias = make.rng.integers(-500, 500, channels)
    step = Step("conv", "step", ("x",), "y", attrs, weight, bias, **native.bounds(make, y))
    shape = (make.integer(1, 2), group * inner, *(make.integer(3, 6) for _ in kernel))
    native.check(step, [x, y], {"x": make.codes(x, shape)}, rule, rounding)


BROADCASTS = (
    ((2, 5, 4, 3), (2, 5, 4, 3)), ((2, 5, 4, 3), (2, 5, 1, 1)), ((1, 5, 1, 1), (2, 5, 4, 3)),
    ((2, 5, 4, 3), (5, 1, 1)), ((7, 3), (3,)), ((7, 3), ()), ((2, 1, 3), (4, 1)),
    ((2, 9, 8, 4), (9, 1, 4)), ((1, 30, 1), (2, 30, 7)), ((3, 1, 1, 5), (1, 20, 4, 1)),
)  # fmt: skip


@any_rule
@settings(max_examples=80)
def test_elementwise(
    native: Any, seed: int, bits: tuple[int, int, int | None], rule: str, rounding: str
) -> None:
    make = native.Maker(seed)
    op = ("add", "sub", "mul")[make.integer(0, 2)]
    shapes = BROADCASTS[make.integer(0, len(BROADCASTS) - 1)]
    a, b = (make.tensor(name, len(shape), n) for name, shape, n in zip("ab", shapes, bits, strict=False))
    y = make.tensor("y", max(map(len, shapes)), bits[2], reach=2.0)
    step = Step(op, "step", ("a", "b"), "y", **native.bounds(make, y))
    feeds = {"a": make.codes(a, shapes[0]), "b": make.codes(b, shapes[1])}
    native.check(step, [a, b, y], feeds, rule, rounding)


@any_rule
@settings(max_examples=60)
def test_pools_and_tables(
    native: Any, seed: int, bits: tuple[int, int, int | None], rule: str, rounding: str
) -> None:
    make = native.Maker(seed)
    x, y = make.tensor("x", 4, bits[0]), make.tensor("y", 4, bits[2])
    pool: dict[str, Any] = {
        "kernel_shape": [make.integer(1, 3), make.integer(1, 3)], "strides": [make.integer(1, 2)] * 2,
        "dilations": [1, make.integer(1, 2)], "pads": [make.integer(0, 1) for _ in range(4)],
        "ceil_mode": make.integer(0, 1),
    }  # fmt: skip
    steps = {
        "max_pool": (pool, x.params),
        "average_pool": (pool | {"count_include_pad": make.integer(0, 1)}, y.params),
        "global_average_pool": ({}, y.params),
        "reduce_mean": ({"axes": [2, -1], "keepdims": 1}, y.params),
        "requantize": ({}, y.params),
    }
    op = (*steps,)[make.integer(0, len(steps) - 1)]
    attrs, params = steps[op]
    output = TensorInfo("y", y.shape, *params)
    limits = {} if op == "max_pool" else native.bounds(make, output)
    step = Step(op, "step", ("x",), "y", attrs, **limits)
    feeds = {"x": make.codes(x, (make.integer(1, 2), make.integer(1, 20), make.integer(4, 7), 5))}
    native.check(step, [x, output], feeds, rule, rounding)


@any_rule
@settings(max_examples=40)
def test_concat(native: Any, seed: int, bits: Bits, rule: str, rounding: str) -> None:
    make = native.Maker(seed)
    axis = make.integer(-4, 3)
    y = make.tensor("y", 4, bits[2] or 8)
    parts = [make.tensor("a", 4, bits[0]), make.tensor("b", 4, bits[1]), TensorInfo("c", y.shape, *y.params)]
    shapes = [[2, 3, 4, 5] for _ in parts]
    for shape in shapes:
        shape[axis] = make.integer(1, 6)
    feeds = {part.name: make.codes(part, tuple(shape)) for part, shape in zip(parts, shapes, strict=True)}
    step = Step("concat", "step", ("a", "b", "c"), "y", {"axis": axis}, **native.bounds(make, y))
    native.check(step, [*parts, y], feeds, rule, rounding)
