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
