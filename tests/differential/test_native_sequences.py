"""The native engine has the bits of the reference: recurrent layers, and softmax under a mask."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from passes.artifact import Artifact, Step, TensorInfo, WeightLayout
from passes.artifact.recurrent import GATES, MAX_GATE_BIAS
from passes.errors import ArtifactError
from passes.lowering.recurrent import sigmoid_table
from passes.numerics import RequantRule, Rounding
from qtool.runtime.native import is_built
from qtool.runtime.native_engine import NativeEngine

pytestmark = pytest.mark.skipif(not is_built(), reason="the native kernels are not built")

any_rule = given(
    seed=st.integers(0, 2**32 - 1),
    bits=st.tuples(st.integers(1, 8), st.integers(1, 8), st.sampled_from([None, 2, 4, 8, 16])),
    rule=st.sampled_from([*RequantRule]),
    rounding=st.sampled_from([*Rounding]),
)
Bits = tuple[int, int, int | None]
MASKS = (
    ((3, 9), (3, 9)), ((2, 3, 5, 70), (5, 70)), ((2, 3, 5, 70), (2, 1, 1, 70)), ((2, 3, 4), (3, 1)),
    ((6,), (1,)), ((2, 3, 65), ()), ((4, 1), (4, 1)),
)  # fmt: skip


@any_rule
@settings(max_examples=80)
@pytest.mark.parametrize("wide", [False, True])
def test_softmax_under_a_mask(
    native: Any, seed: int, bits: Bits, rule: str, rounding: str, wide: bool
) -> None:
    make = native.Maker(seed)
    shape, mask_shape = MASKS[make.integer(0, len(MASKS) - 1)]
    x, y = make.tensor("x", len(shape), 16 if wide else bits[0]), make.tensor("y", len(shape), bits[2] or 8)
    steps = np.arange(x.qmax - x.qmin + 1)
    powers = np.exp2(-steps) if make.integer(0, 1) else np.exp(-steps * make.rng.uniform(0.001, 1))
    table = np.rint(2.0**24 * powers).astype(np.int64)
    mask = TensorInfo("mask", (None,) * len(mask_shape), 1, signed=False, scale=1.0, zero_point=0)
    kept = (make.rng.random(mask_shape) < make.rng.choice([0, 0.3, 1])).astype(np.uint8)
    step = Step("integer_softmax", "step", ("x", "mask"), "y", table=table, **native.bounds(make, y))
    native.check(step, [x, mask, y], {"x": make.codes(x, shape), "mask": kept}, rule, rounding)


def test_a_mask_larger_than_the_scores_is_refused(native: Any) -> None:
    make = native.Maker(0)
    x, y = make.tensor("x", 2, 8), make.tensor("y", 2, 8)
    mask = TensorInfo("mask", (None,) * 3, 1, signed=False, scale=1.0, zero_point=0)
    step = Step("integer_softmax", "step", ("x", "mask"), "y", table=np.full(256, 1 << 24))
    tensors = {info.name: info for info in (x, mask, y)}
    artifact = Artifact("t", "", "g", "half_even", "exact", step.inputs, ("y",), tensors, (step,))
    feeds = {"x": make.codes(x, (3, 4)), "mask": np.ones((2, 3, 4), np.uint8)}
    with pytest.raises(ArtifactError, match="mask of shape"):
        NativeEngine(artifact).run_step("step", feeds)


@any_rule
@settings(max_examples=120)
@pytest.mark.parametrize("op", [*GATES])
def test_recurrent(native: Any, op: str, seed: int, bits: Bits, rule: str, rounding: str) -> None:
    make = native.Maker(seed)
    inputs, hidden = make.integer(1, 40), make.integer(1, 20)
    x, y = make.tensor("x", 3, bits[0], reach=4.0), make.tensor("y", 4, bits[2])
    rows, reach = GATES[op] * hidden, (1 << 15, 1 << 20, MAX_GATE_BIAS)[make.integer(0, 2)]
    weights = [make.weight((rows, depth), WeightLayout.OUT_IN, bits[1], rows) for depth in (inputs, hidden)]
    attrs = {"reverse": make.integer(0, 1), "state_bits": make.integer(2, 8)}
    if op == "gru":
        attrs["linear_before_reset"] = make.integer(0, 1)
    step = Step(
        op,
        "step",
        ("x",),
        "y",
        attrs,
        weights[0],
        make.rng.integers(-reach, reach, 2 * rows, endpoint=True),
        table=sigmoid_table(),
        hidden_weight=weights[1],
        **native.bounds(make, y),
    )
    shape = make.integer(1, 6), make.integer(1, 5), inputs
    native.check(step, [x, y], {"x": make.codes(x, shape)}, rule, rounding)


INDEX = TensorInfo("like", (None, None), 32, signed=True)
ORDERS: dict[str, tuple[dict[str, Any], int]] = {
    "reshape": ({"shape": [0, -1, 2, 3]}, 4),
    "flatten": ({"axis": 2}, 2),
    "squeeze": ({"axes": [1]}, 3),
    "unsqueeze": ({"axes": [0, 3]}, 6),
    "reshape_like": ({"shape": [-1, 0, 0], "like_axes": [-1, 0, -1]}, 3),
    "trim": ({"axes": [0, 3], "like_axes": [0, 1]}, 4),
}


@any_rule
@settings(max_examples=25)
@pytest.mark.parametrize("op", [*ORDERS])
def test_values_that_only_move(native: Any, op: str, seed: int, bits: Bits, rule: str, rounding: str) -> None:
    make = native.Maker(seed)
    attrs, rank = ORDERS[op]
    x = make.tensor("x", 4, bits[2] or bits[0])
    y = TensorInfo("y", (None,) * rank, *x.params)
    shape = (3, 1, 4, 6) if op != "reshape_like" else (6, 1, 3, 4)
    feeds = {"x": make.codes(x, shape), "like": np.zeros((2, make.integer(0, 6)), np.int32)}
    counted = op in {"reshape_like", "trim"}
    step = Step(op, "step", ("x", "like") if counted else ("x",), "y", attrs)
    infos = [x, INDEX, y] if counted else [x, y]
    native.check(step, infos, feeds, rule, rounding)


@any_rule
@settings(max_examples=40)
def test_rows_of_a_table(native: Any, seed: int, bits: Bits, rule: str, rounding: str) -> None:
    make = native.Maker(seed)
    rows, width = make.integer(1, 20), make.integer(1, 20)
    weight = make.weight((rows, width), WeightLayout.OUT_IN, bits[2] or bits[0], 1)
    params = weight.bits, weight.signed, float(weight.scale[0]), int(weight.zero_point[0])
    y = TensorInfo("y", (None,) * 3, *params)
    step = Step("embedding", "step", ("like",), "y", {}, weight)
    beyond = make.integer(0, 1)
    indices = make.rng.integers(-rows - beyond, rows, (2, make.integer(0, 9)), endpoint=bool(beyond))
    native.check(step, [INDEX, y], {"like": indices.astype(np.int32)}, rule, rounding)


@any_rule
@settings(max_examples=60)
def test_sums_and_means_over_axes_that_follow_each_other(
    native: Any, seed: int, bits: Bits, rule: str, rounding: str
) -> None:
    make = native.Maker(seed)
    x = make.tensor("x", 4, 16 if make.integer(0, 4) == 0 else bits[0])
    first = make.integer(0, 3)
    axes = [axis - 4 * make.integer(0, 1) for axis in range(first, make.integer(first, 3) + 1)]
    attrs = {"axes": axes, "keepdims": make.integer(0, 1)}
    y = make.tensor("y", 4 if attrs["keepdims"] else 4 - len(axes), bits[2], reach=3.0)
    op = ("reduce_sum", "reduce_mean")[make.integer(0, 1)]
    step = Step(op, "step", ("x",), "y", attrs, **native.bounds(make, y))
    native.check(step, [x, y], {"x": make.codes(x, (2, 3, 5, make.integer(1, 90)))}, rule, rounding)


def test_truth_values(native: Any) -> None:
    bit = TensorInfo("y", (None, None), 1, signed=False)
    feeds = {"like": np.array([[0, 1, -1], [1 << 31 - 1, -(1 << 31), 256]], np.int64).astype(np.int32)}
    native.check(Step("nonzero", "step", ("like",), "y"), [INDEX, bit], feeds, "exact", "half_even")


def test_what_a_tensor_is_shaped_like_keeps_its_memory() -> None:
    """A constant cannot give its bytes away, and the tensor that only lends its extents must not either."""
    codes = TensorInfo("c", (6, 4), 8, signed=False, scale=0.5)
    shaped = TensorInfo("y", (None, None, None), 8, signed=False, scale=0.5)
    bit = TensorInfo("z", (None, None), 1, signed=False)
    table = np.arange(24)
    steps = (
        Step("constant", "c", (), "c", {"shape": [6, 4]}, table=table),
        Step("reshape_like", "y", ("c", "like"), "y", {"shape": [-1, -1, 4], "like_axes": [0, 1, -1]}),
        Step("nonzero", "z", ("like",), "z"),
    )
    tensors = {info.name: info for info in (INDEX, codes, shaped, bit)}
    artifact = Artifact("t", "", "g", "half_even", "exact", ("like",), ("y", "z"), tensors, steps)
    found = NativeEngine(artifact).run({"like": np.zeros((2, 3), np.int32)})
    np.testing.assert_array_equal(found["y"], table.reshape(2, 3, 4) * 0.5)
    np.testing.assert_array_equal(found["z"], np.zeros((2, 3)))
