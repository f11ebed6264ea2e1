"""The native engine has the bits of the reference: steps of every operation, width, rule and rounding."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from passes.artifact import Artifact, PackedWeight, Step, TensorInfo, WeightLayout
from passes.errors import QtoolError
from passes.numerics import IntFormat, RequantRule, Rounding
from qtool.runtime import Engine
from qtool.runtime.native import instruction_sets, is_built
from qtool.runtime.native_engine import NativeEngine

pytestmark = pytest.mark.skipif(not is_built(), reason="the native kernels are not built")

BITS = st.sampled_from([1, 2, 3, 4, 5, 6, 7, 8, 8, 16, 16])
SEEDS = st.integers(0, 2**32 - 1)


class Maker:
    """Draws the parts of a program from one seed."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)

    def integer(self, low: int, high: int) -> int:
        return int(self.rng.integers(low, high + 1))

    def tensor(self, name: str, rank: int, bits: int | None, reach: float = 1.0) -> TensorInfo:
        """A tensor whose codes span about `reach`; half of all scales are short, as qtool assigns them."""
        if bits is None:
            return TensorInfo(name, (None,) * rank)
        fmt = IntFormat(bits, bool(self.integer(0, 1)))
        scale = reach / fmt.levels * self.rng.uniform(0.7, 1.5)
        if self.integer(0, 1):
            scale = float(2.0 ** np.round(np.log2(scale)) * self.integer(8, 15) / 8)
        zero = self.integer(fmt.qmin, fmt.qmax)
        return TensorInfo(name, (None,) * rank, bits, fmt.signed, scale, zero)

    def codes(self, info: TensorInfo, shape: tuple[int, ...]) -> np.ndarray:
        return self.rng.integers(info.qmin, info.qmax + 1, shape).astype(info.dtype)

    def weight(self, shape: tuple[int, ...], layout: WeightLayout, bits: int, channels: int) -> PackedWeight:
        fmt = IntFormat(bits, bool(self.integer(0, 1)))
        count = channels if self.integer(0, 1) else 1
        return PackedWeight.pack(
            self.rng.integers(fmt.qmin, fmt.qmax + 1, shape),
            name="w",
            layout=layout,
            fmt=fmt,
            scale=2.0 ** -self.rng.uniform(3, 6, count),
            zero_point=self.rng.integers(fmt.qmin, fmt.qmax + 1, count),
        )


def check(
    step: Step, infos: list[TensorInfo], feeds: dict[str, np.ndarray], rule: str, rounding: str
) -> None:
    """Run one step on both engines, on every instruction set: the same codes, or the same kind of error."""
    tensors = {info.name: info for info in infos}
    artifact = Artifact("t", "", "g", rounding, rule, step.inputs, (step.output,), tensors, (step,))
    expected = outcome(lambda: Engine(artifact).run_step("step", feeds))
    for isa in instruction_sets():
        found = outcome(lambda isa=isa: NativeEngine(artifact, 2, isa).run_step("step", feeds))
        assert type(found) is type(expected)
        if isinstance(expected, np.ndarray):
            assert not NativeEngine(artifact, 1, isa).reference_steps
            np.testing.assert_array_equal(found, expected, strict=True)


def outcome(run: Any) -> Any:
    try:
        return run()
    except QtoolError as error:
        return error


any_rule = given(
    seed=SEEDS,
    bits=st.tuples(BITS, BITS, st.none() | BITS),
    rule=st.sampled_from([*RequantRule]),
    rounding=st.sampled_from([*Rounding]),
)


def bounds(make: Maker, output: TensorInfo) -> dict[str, int]:
    """Bounds of a fused clamp, in half of the cases."""
    if output.is_float or make.integer(0, 1):
        return {}
    low, high = sorted(make.rng.integers(output.qmin, output.qmax + 1, 2).tolist())
    return {"lo": low, "hi": high}


@any_rule
@settings(max_examples=60)
def test_gemm(seed: int, bits: tuple[int, int, int | None], rule: str, rounding: str) -> None:
    make = Maker(seed)
    depth, channels = make.integer(1, 70), make.integer(1, 40)
    x, y = make.tensor("x", 2, bits[0]), make.tensor("y", 2, bits[2], reach=float(depth))
    layout = (WeightLayout.OUT_IN, WeightLayout.IN_OUT)[make.integer(0, 1)]
    shape = (channels, depth) if layout is WeightLayout.OUT_IN else (depth, channels)
    weight = make.weight(shape, layout, bits[1], channels)
    bias = make.rng.integers(-500, 500, channels)
    step = Step("gemm", "step", ("x",), "y", {}, weight, bias, **bounds(make, y))
    check(step, [x, y], {"x": make.codes(x, (make.integer(1, 9), depth))}, rule, rounding)


@any_rule
@settings(max_examples=80)
def test_conv(seed: int, bits: tuple[int, int, int | None], rule: str, rounding: str) -> None:
    make = Maker(seed)
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
    step = Step("conv", "step", ("x",), "y", attrs, weight, bias, **bounds(make, y))
    shape = (make.integer(1, 2), group * inner, *(make.integer(3, 6) for _ in kernel))
    check(step, [x, y], {"x": make.codes(x, shape)}, rule, rounding)


BROADCASTS = (
    ((2, 5, 4, 3), (2, 5, 4, 3)), ((2, 5, 4, 3), (2, 5, 1, 1)), ((1, 5, 1, 1), (2, 5, 4, 3)),
    ((2, 5, 4, 3), (5, 1, 1)), ((7, 3), (3,)), ((7, 3), ()), ((2, 1, 3), (4, 1)),
)  # fmt: skip


@any_rule
@settings(max_examples=80)
def test_elementwise(seed: int, bits: tuple[int, int, int | None], rule: str, rounding: str) -> None:
    make = Maker(seed)
    op = ("add", "sub", "mul")[make.integer(0, 2)]
    shapes = BROADCASTS[make.integer(0, len(BROADCASTS) - 1)]
    a, b = (make.tensor(name, len(shape), n) for name, shape, n in zip("ab", shapes, bits, strict=False))
    y = make.tensor("y", max(map(len, shapes)), bits[2], reach=2.0)
    step = Step(op, "step", ("a", "b"), "y", **bounds(make, y))
    feeds = {"a": make.codes(a, shapes[0]), "b": make.codes(b, shapes[1])}
    check(step, [a, b, y], feeds, rule, rounding)


@any_rule
@settings(max_examples=60)
def test_pools_and_tables(seed: int, bits: tuple[int, int, int | None], rule: str, rounding: str) -> None:
    make = Maker(seed)
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
    limits = {} if op == "max_pool" else bounds(make, output)
    step = Step(op, "step", ("x",), "y", attrs, **limits)
    feeds = {"x": make.codes(x, (make.integer(1, 2), make.integer(1, 20), make.integer(4, 7), 5))}
    check(step, [x, output], feeds, rule, rounding)


@any_rule
@settings(max_examples=40)
def test_concat(seed: int, bits: tuple[int, int, int | None], rule: str, rounding: str) -> None:
    make = Maker(seed)
    axis = make.integer(-4, 3)
    y = make.tensor("y", 4, bits[2] or 8)
    parts = [make.tensor("a", 4, bits[0]), make.tensor("b", 4, bits[1]), TensorInfo("c", y.shape, *y.params)]
    shapes = [[2, 3, 4, 5] for _ in parts]
    for shape in shapes:
        shape[axis] = make.integer(1, 6)
    feeds = {part.name: make.codes(part, tuple(shape)) for part, shape in zip(parts, shapes, strict=True)}
    step = Step("concat", "step", ("a", "b", "c"), "y", {"axis": axis}, **bounds(make, y))
    check(step, [*parts, y], feeds, rule, rounding)


MATRICES = (
    ((5, 7), (7, 9)), ((2, 3, 20, 33), (2, 3, 33, 17)), ((2, 3, 1, 40), (40, 2)), ((7,), (2, 7, 50)),
    ((3, 1, 4, 6), (1, 2, 6, 1)), ((60, 70), (70,)), ((9,), (9,)), ((4, 8), (2, 7, 5)),
)  # fmt: skip


@any_rule
@settings(max_examples=80)
def test_matmul(seed: int, bits: tuple[int, int, int | None], rule: str, rounding: str) -> None:
    make = Maker(seed)
    shapes = MATRICES[make.integer(0, len(MATRICES) - 1)]
    a, b = (make.tensor(name, len(shape), n) for name, shape, n in zip("ab", shapes, bits, strict=False))
    y = make.tensor("y", 2, bits[2], reach=9.0)
    step = Step("matmul", "step", ("a", "b"), "y", **bounds(make, y))
    feeds = {"a": make.codes(a, shapes[0]), "b": make.codes(b, shapes[1])}
    check(step, [a, b, y], feeds, rule, rounding)


@any_rule
@settings(max_examples=60)
def test_softmax(seed: int, bits: tuple[int, int, int | None], rule: str, rounding: str) -> None:
    make = Maker(seed)
    x, y = make.tensor("x", 2, bits[0]), make.tensor("y", 2, bits[2] or 16)
    steps = np.arange(1 << bits[0])
    # Small whole ratios of powers are ties more often than exponentials are.
    powers = np.exp2(-steps) if make.integer(0, 1) else np.exp(-steps * make.rng.uniform(0.001, 1))
    table = np.rint(2.0**24 * powers).astype(np.int64)
    step = Step("integer_softmax", "step", ("x",), "y", table=table, **bounds(make, y))
    check(step, [x, y], {"x": make.codes(x, (3, make.integer(1, 70)))}, rule, rounding)


@any_rule
@settings(max_examples=60)
def test_layer_norm(seed: int, bits: tuple[int, int, int | None], rule: str, rounding: str) -> None:
    make = Maker(seed)
    length, gain_bits = make.integer(1, 70), make.integer(8, 14)
    x, y = make.tensor("x", 3, bits[0]), make.tensor("y", 3, bits[2], reach=4.0)
    gains = make.rng.integers(-(1 << gain_bits), 1 << gain_bits, length, endpoint=True)
    shifts = make.rng.integers(-(1 << 16 + gain_bits), 1 << 16 + gain_bits, length)
    attrs = {"length": length, "center": make.integer(0, 1), "gain_bits": gain_bits}
    attrs["epsilon"] = (0, 1, 10**4, 1 << 60)[make.integer(0, 3)]
    table = np.concatenate([gains, shifts])
    step = Step("layer_norm", "step", ("x",), "y", attrs, table=table, **bounds(make, y))
    codes = make.codes(x, (2, 3, length))
    codes[0, 0] = codes[0, 0, 0]
    check(step, [x, y], {"x": codes}, rule, rounding)


@any_rule
@settings(max_examples=60)
def test_conv_transpose(seed: int, bits: tuple[int, int, int | None], rule: str, rounding: str) -> None:
    make = Maker(seed)
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
    step = Step("conv_transpose", "step", ("x",), "y", attrs, weight, bias, **bounds(make, y))
    shape = (make.integer(1, 2), group * inner, *(make.integer(1, 5) for _ in kernel))
    check(step, [x, y], {"x": make.codes(x, shape)}, rule, rounding)


@any_rule
@settings(max_examples=60)
def test_movers(seed: int, bits: tuple[int, int, int | None], rule: str, rounding: str) -> None:
    make = Maker(seed)
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
    check(step, [x, y], {"x": make.codes(x, shape)}, rule, rounding)


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
