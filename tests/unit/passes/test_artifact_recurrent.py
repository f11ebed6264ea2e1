"""Recurrent steps of the packed artifact: what is refused before anything runs, and the file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from passes.artifact import Artifact, PackedWeight, Step, TensorInfo, WeightLayout
from passes.artifact.recurrent import MAX_GATE_BIAS, TABLE_LENGTH
from passes.errors import ArtifactError
from passes.lowering.recurrent import sigmoid_table
from passes.numerics import IntFormat

INPUTS, HIDDEN = 3, 2
TENSORS = {
    "x": TensorInfo("x", (None, None, INPUTS), 8, False, 0.5, 3),
    "y": TensorInfo("y", (None, 1, None, HIDDEN), 8, True, 2.0**-7, 0),
}


def weight(
    rows: int, columns: int, layout: WeightLayout = WeightLayout.OUT_IN, scales: int = 1
) -> PackedWeight:
    codes = np.arange(rows * columns).reshape(rows, columns) % 7 - 3
    ones = np.ones(scales)
    return PackedWeight.pack(
        codes, name="w", layout=layout, fmt=IntFormat(4), scale=ones, zero_point=ones.astype(np.int64)
    )


def gru(**changes: Any) -> Step:
    step = Step(
        "gru", "cell", ("x",), "y", {"reverse": 1, "state_bits": 8, "linear_before_reset": 1},
        weight(6, INPUTS), np.arange(12), table=sigmoid_table(), hidden_weight=weight(6, HIDDEN, scales=6),
    )  # fmt: skip
    return replace(step, **changes)


def artifact(step: Step) -> Artifact:
    return Artifact("test", "0", "generic", "half_even", "exact", ("x",), ("y",), TENSORS, (step,))


def test_both_weights_and_the_table_are_in_the_file(tmp_path: Path) -> None:
    artifact(gru()).save(tmp_path / "a.qpk")
    (found,) = Artifact.load(tmp_path / "a.qpk").steps
    assert [item.shape for item in found.weights] == [(6, INPUTS), (6, HIDDEN)]
    for again, before in zip(found.weights, gru().weights, strict=True):
        np.testing.assert_array_equal(again.unpack(), before.unpack())
    np.testing.assert_array_equal(found.table, sigmoid_table())
    assert found.attrs == gru().attrs


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"hidden_weight": None}, "lacks its weight for a state"),
        ({"weight": None}, "lacks its weight"),
        ({"table": None}, "lacks its table"),
        ({"bias": None}, "expected 12 biases, found None"),
        ({"bias": np.arange(6)}, "expected 12 biases"),
        ({"bias": np.full(12, MAX_GATE_BIAS + 1)}, "a bias is larger"),
        ({"weight": weight(5, INPUTS)}, "expected weights of 3 gates"),
        ({"weight": weight(6, INPUTS, WeightLayout.IN_OUT)}, "expected weights of 3 gates"),
        ({"hidden_weight": weight(6, 3)}, "expected weights of 3 gates"),
        ({"hidden_weight": weight(6, HIDDEN, scales=3)}, "expected 1 or 6 scales"),
        ({"table": sigmoid_table()[:-1]}, f"expected a table of {TABLE_LENGTH} entries"),
        ({"table": sigmoid_table()[::-1]}, "expected a table that rises"),
        ({"table": sigmoid_table() + 1}, "expected a table that rises"),
        ({"attrs": {"reverse": 1, "state_bits": 1, "linear_before_reset": 1}}, "state_bits must be"),
        ({"attrs": {"reverse": 0, "state_bits": 8}}, "expected the attributes"),
        ({"op": "lstm", "attrs": {"reverse": 0, "state_bits": 8}}, "expected weights of 4 gates"),
        ({"lo": -200}, "bounds -200"),
    ],
)
def test_what_does_not_fit_is_refused(changes: dict[str, Any], problem: str) -> None:
    with pytest.raises(ArtifactError, match=problem):
        artifact(gru(**changes))


def test_other_steps_have_no_use_for_a_second_weight() -> None:
    step = Step("gemm", "cell", ("x",), "y", {}, weight(6, INPUTS), hidden_weight=weight(6, HIDDEN))
    with pytest.raises(ArtifactError, match="has no use for a weight for a state"):
        artifact(step)
