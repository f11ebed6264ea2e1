"""The native engine has the bits of the reference: products of two tensors, rows, phases and movers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from passes.artifact import Artifact, Step, TensorInfo, WeightLayout
from passes.numerics import RequantRule, Rounding
from qtool.runtime import Engine
from qtool.runtime.native import is_built
from qtool.runtime.native_engine import NativeEngine

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


MATRICES = (
    ((5, 7), (7, 9)), ((2, 3, 20, 33), (2, 3, 33, 17)), ((2, 3, 1, 40), (40, 2)), ((7,), (2, 7, 50)),
    ((3, 1, 4, 6), (1, 2, 6, 1)), ((60, 70), (70,)), ((9,), (9,)), ((4, 8), (2, 7, 5)),
)  # fmt: skip


@any_rule
@settings(max_examples=80)
def test_matmul(native: Any, seed: int, bits: Bits, rule: str, rounding: str) -> None:
    make = native.Maker(seed)
    shapes = MATRICES[make.integer(0, len(MATRICES) - 1)]
    a, b = (make.tensor(name, len(shape), n) for name, shape, n in zip("ab", shapes, bits, strict=False))
    y = make.tensor("y", 2, bits[2], reach=9.0)
    step = Step("matmul", "step", ("a", "b"), "y", **native.bounds(make, y))
    feeds = {"a": make.codes(a, shapes[0]), "b": make.codes(b, shapes[1])}
    native.check(step, [a, b, y], feeds, rule, rounding)


@any_rule
@settings(max_examples=60)
def test_softmax(native: Any, seed: int, bits: Bits, rule: str, rounding: str) -> None:
    make = native.Maker(seed)
    x, y = make.tensor("x", 2, bits[0]), make.tensor("y", 2, bits[2] or 16)
    steps = np.arange(1 << bits[0])
    # Small whole ratios of powers are ties more often than exponentials are.
    powers = np.exp2(-steps) if make.integer(0, 1) else np.exp(-steps * make.rng.uniform(0.001, 1))
    table = np.rint(2.0**24 * powers).astype(np.int64)
    step = Step("integer_softmax", "step", ("x",), "y", table=table, **native.bounds(make, y))
    native.check(step, [x, y], {"x": make.codes(x, (3, make.integer(1, 70)))}, rule, rounding)


@any_rule
@settings(max_examples=60)
def test_layer_norm(
    native: Any, seed: int, bits: tuple[int, int, int | None], rule: str, rounding: str
) -> None:
    make = native.Maker(seed)
    length, gain_bits = make.integer(1, 70), make.integer(8, 22)
    x, y = make.tensor("x", 3, bits[0]), make.tensor("y", 3, bits[2], reach=4.0)
    gains = make.rng.integers(-(1 << gain_bits), 1 << gain_bits, length, endpoint=True)
    shifts = make.rng.integers(-(1 << 16 + gain_bits), 1 << 16 + gain_bits, length)
    attrs = {"length": length, "center": make.integer(0, 1), "gain_bits": gain_bits}
    attrs["epsilon"] = (0, 1, 10**4, 1 << 60)[make.integer(0, 3)]
    table = np.concatenate([gains, shifts])
    step = Step("layer_norm", "step", ("x",), "y", attrs, table=table, **native.bounds(make, y))
    codes = make.codes(x, (2, 3, length))
    codes[0, 0] = codes[0, 0, 0]
    native.check(step, [x, y], {"x": codes}, rule, rounding)


@any_rule
@settings(max_examples=60)
def test_conv_transpose(
    native: Any, seed: int, bits: tuple[int, int, int | None], rule: str, rounding: str
) -> None:
    make = native.Maker(seed)
    rank, group = make.integer(1, 3), make.integer(1, 2)
    kernel = tuple(make.integer(1, 4) for _ in range(rank))
    attrs: dict[str, Any] = {
        "strides": [make.integer(1, 3) for _ in kernel],
        "dilations": [make.integer(1, 3) for _ in kernel],
        "pads": [make.integer(0, 2) for _ in range(2 * rank)],
        "output_padding": [make.integer(0, 2) for _ in kernel],
        "group": group,
    }
    inner, outer = make.integer(1, 5), make.integer(1, 9)
    layout = WeightLayout.IN_OUT if group == 1 else WeightLayout.GROUPED
    weight = make.weight((group * inner, outer, *kernel), layout, bits[1], group * outer)
    x, y = make.tensor("x", 2 + rank, bits[0]), make.tensor("y", 2 + rank, bits[2], reach=9.0)
    bias = make.rng.integers(-500, 500, group * outer)
    step = Step("conv_transpose", "step", ("x",), "y", attrs, weight, bias, **native.bounds(make, y))
    shape = (make.integer(1, 2), group * inner, *(make.integer(1, 5) for _ in kernel))
    native.check(step, [x, y], {"x": make.codes(x, shape)}, rule, rounding)


@any_rule
@settings(max_examples=60)
def test_movers(native: Any, seed: int, bits: Bits, rule: str, rounding: str) -> None:
    make = native.Maker(seed)
    shape = (2, 8, 3, 4)
    axes = make.rng.permutation(4)[: make.integer(1, 3)].tolist()
    sizes = [make.integer(1, 6) for _ in axes]
    places = [make.rng.integers(0, shape[axis], size) for axis, size in zip(axes, sizes, strict=True)]
    picked = ((), (1,), (2, 3))[make.integer(0, 2)]
    axis = make.integer(-4, 3)
    indices = make.rng.integers(-shape[axis], shape[axis], picked)
    spread = {"axes": [axis - 4 * make.integer(0, 1) for axis in axes], "factors": sizes}
    op, attrs, table = (
        ("gather", {"axis": axis, "shape": [*picked]}, indices.reshape(-1)),
        ("resize", {"axes": axes, "sizes": sizes}, np.concatenate(places)),
        ("upsample", spread, None),
        ("expand", {"shape": [3, 1, 1, 1, 4]}, None),
        ("depth_to_space", {"blocksize": 2, "mode": ("DCR", "CRD")[make.integer(0, 1)]}, None),
    )[make.integer(0, 4)]
    x = make.tensor("x", 4, bits[0])
    rank = {"gather": 3 + len(picked), "expand": 5}.get(op, 4)
    y = TensorInfo("y", (None,) * rank, *x.params)
    step = Step(op, "step", ("x",), "y", attrs, table=table)
    native.check(step, [x, y], {"x": make.codes(x, shape)}, rule, rounding)


def test_images_stay_in_order_through_a_resize() -> None:
    rng = np.random.default_rng(0)
    info = [TensorInfo(name, (None,) * 4, 8, True, 0.5, 3) for name in "xabcd"]
    pool = {"kernel_shape": [2, 2], "strides": [2, 2], "pads": [0] * 4, "dilations": [1, 1], "ceil_mode": 0}
    steps = (
        Step("max_pool", "p", ("x",), "a", pool),
        Step(
            "resize",
            "r",
            ("a",),
            "b",
            {"axes": [2, 3], "sizes": [3, 5]},
            table=np.array([0, 1, 1, 0, 0, 1, 2, 2]),
        ),
        Step("upsample", "u", ("b",), "c", {"axes": [2, 3], "factors": [2, 2]}),
        Step("max_pool", "q", ("c",), "d", pool),
    )
    tensors = {item.name: item for item in info}
    artifact = Artifact("t", "", "g", "half_even", "exact", ("x",), ("d",), tensors, steps)
    feeds = {"x": rng.normal(0, 9, (2, 5, 4, 6)).astype(np.float32)}
    found = NativeEngine(artifact).trace(feeds)
    for name, codes in Engine(artifact).trace(feeds).items():
        np.testing.assert_array_equal(found[name], codes, err_msg=name, strict=True)
