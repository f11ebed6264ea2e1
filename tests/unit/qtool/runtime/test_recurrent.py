"""Recurrent steps against ONNX Runtime's operators on the same quantized weights, and by hand."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import onnxruntime
import pytest
from onnx import helper, numpy_helper

from passes.artifact import Artifact, Step
from passes.artifact.recurrent import GATES
from passes.errors import ArtifactError
from passes.lowering.recurrent import sigmoid_table
from qtool.runtime.batching import samples_per_slice

TIME, BATCH, INPUTS, HIDDEN = 12, 3, 5, 4
UNIT = 2.0**-15
CELLS = [("lstm", {}), ("rnn", {}), ("gru", {"linear_before_reset": 0}), ("gru", {"linear_before_reset": 1})]


def step_parts(
    op: str, pack: Any, attrs: dict[str, int], *, state_bits: int = 16, reverse: int = 0
) -> dict[str, Any]:
    """Weights, biases and attributes of a step with random weights of 8 bits."""
    rng, rows = np.random.default_rng(3), GATES[op] * HIDDEN
    scale = 2.0 ** rng.integers(-8, -5, rows)
    weights = [
        pack(rng.integers(-127, 128, (rows, depth)), scale=scale, zero=np.zeros(rows, np.int64))
        for depth in (INPUTS, HIDDEN)
    ]
    return {
        "attrs": {"reverse": reverse, "state_bits": state_bits, **attrs},
        "weight": weights[0],
        "hidden_weight": weights[1],
        "bias": rng.integers(-(1 << 14), 1 << 14, 2 * rows),
        "table": sigmoid_table(),
    }


def onnx_states(op: str, x: np.ndarray, parts: dict[str, Any]) -> np.ndarray:
    """The states that ONNX Runtime computes in float32 from the same weights."""
    weights = [parts[name].unpack() * parts[name].scale[:, None] for name in ("weight", "hidden_weight")]
    arrays = {"W": weights[0], "R": weights[1], "B": parts["bias"] * UNIT}
    attrs = {key: value for key, value in parts["attrs"].items() if key == "linear_before_reset"}
    attrs["direction"] = "reverse" if parts["attrs"]["reverse"] else "forward"
    node = helper.make_node(op.upper(), ["x", *arrays], ["y"], hidden_size=HIDDEN, **attrs)
    constants = [
        numpy_helper.from_array(value[None].astype(np.float32), name) for name, value in arrays.items()
    ]
    graph = helper.make_graph(
        [node],
        "cell",
        [helper.make_tensor_value_info("x", 1, x.shape)],
        [helper.make_tensor_value_info("y", 1, None)],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {"x": x})[0])


@pytest.mark.parametrize("reverse", [0, 1])
@pytest.mark.parametrize(("op", "attrs"), CELLS)
@pytest.mark.parametrize(("state_bits", "tolerance"), [(16, 8e-4), (8, 3e-2), (4, 0.3)])
def test_states_are_those_of_onnx(
    run_one: Any, info: Any, pack: Any, op: str, attrs: Any, reverse: int, state_bits: int, tolerance: float
) -> None:
    x = np.random.default_rng(4).integers(0, 256, (TIME, BATCH, INPUTS))
    parts = step_parts(op, pack, attrs, state_bits=state_bits, reverse=reverse)
    source, result = info("x", 3, scale=2.0**-6, zero=100), info("y", 4, bits=16, signed=True, scale=UNIT)
    found = run_one(op, [x], [source], result, **parts) * UNIT
    wanted = onnx_states(op, ((x - 100) * 2.0**-6).astype(np.float32), parts)
    assert found.shape == (TIME, 1, BATCH, HIDDEN)
    np.testing.assert_allclose(found, wanted, atol=tolerance)
    assert np.ptp(wanted) > 1


def test_one_step_of_an_rnn_by_hand(run_one: Any, info: Any, pack: Any) -> None:
    """tanh(3 / 4 * 2 + 1 / 2), and then with the state at 8 bits, as code 122 of 127 (0.964 of 1)."""
    parts = {
        "attrs": {"reverse": 0, "state_bits": 8},
        "weight": pack([[2]]),
        "hidden_weight": pack([[-1]]),
        "bias": np.array([1 << 14, 0]),
        "table": sigmoid_table(),
    }
    source, result = info("x", 3, scale=0.25), info("y", 4, bits=None)
    found = run_one("rnn", [[[[3]], [[3]]]], [source], result, **parts).reshape(-1)
    np.testing.assert_allclose(found, [math.tanh(2), math.tanh(2 - 122 / 127)], atol=6e-5)


def test_the_cell_of_an_lstm_saturates(run_one: Any, info: Any, pack: Any) -> None:
    """A cell that counts up by one each step stops at 16, and comes back from there in as many steps."""
    parts = {
        "attrs": {"reverse": 0, "state_bits": 8},
        "weight": pack([[0], [0], [0], [8]]),
        "hidden_weight": pack(np.zeros((4, 1), int)),
        "bias": np.array([16 << 15] * 3 + [0] * 5),
        "table": sigmoid_table(),
    }
    x = np.concatenate([np.full(40, 1), np.full(20, -1)]).reshape(-1, 1, 1)
    source, result = info("x", 3, signed=True), info("y", 4, bits=None)
    found = run_one("lstm", [x], [source], result, **parts).reshape(-1)
    np.testing.assert_allclose(found[[0, 39, 54]], [math.tanh(1), 1, math.tanh(1)], atol=2e-3)
    assert found[57] < 0 < found[54]


@pytest.mark.parametrize("shape", [(TIME, BATCH), (TIME, BATCH, INPUTS + 1)])
def test_other_inputs_are_refused(run_one: Any, info: Any, pack: Any, shape: tuple[int, ...]) -> None:
    parts = step_parts("rnn", pack, {})
    with pytest.raises(ArtifactError, match="rnn"):
        run_one("rnn", [np.zeros(shape)], [info("x", len(shape))], info("y", 4, scale=UNIT), **parts)


def test_sequences_are_not_cut(info: Any, pack: Any) -> None:
    """The first axis is time, though it be unknown and named like a batch."""
    step = Step("rnn", "step", ("x",), "y", **step_parts("rnn", pack, {}))
    tensors = {"x": info("x", 3), "y": info("y", 4, scale=UNIT)}
    program = Artifact("test", "", "generic", "half_even", "exact", ("x",), ("y",), tensors, (step,))
    assert samples_per_slice(program) is None
