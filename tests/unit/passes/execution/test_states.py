"""What the second weight of a recurrent layer multiplies, against a cell computed step by step."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from passes.execution.states import States
from passes.ir.layers import Layer, find_layers
from passes.ir.onnx_io import model_from_proto

TIME, BATCH, INPUTS, HIDDEN = 5, 2, 3, 4
GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}


def layer_of(op: str, **attrs: object) -> Layer:
    rng, rows = np.random.default_rng(0), GATES[op] * HIDDEN
    shapes = {"w": (1, rows, INPUTS), "r": (1, rows, HIDDEN), "b": (1, 2 * rows)}
    constants = [
        numpy_helper.from_array(rng.standard_normal(shape).astype(np.float32), name)
        for name, shape in shapes.items()
    ]
    node = helper.make_node(op, ["x", *shapes], ["y"], name="cell", hidden_size=HIDDEN, **attrs)
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [TIME, "N", INPUTS])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    graph = helper.make_graph([node], "net", [x], [y], constants)
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8)
    (layer,), _ = find_layers(model_from_proto(proto, "net", "0").graph)
    return layer


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def step(layer: Layer, x: np.ndarray, h: np.ndarray, c: np.ndarray) -> tuple[np.ndarray, ...]:
    """One step of the equations of ONNX: new state, new cell state, and the reset gate of a GRU."""
    w, r = (part.weight_values()[0] for part in layer.parts)
    bw, br = np.split(np.asarray(layer.node.inputs[3].values)[0], 2)
    if layer.op == "RNN":
        return np.tanh(x @ w.T + h @ r.T + bw + br), c, c
    if layer.op == "LSTM":
        i, o, f, g = np.split(x @ w.T + h @ r.T + bw + br, 4, axis=1)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        return sigmoid(o) * np.tanh(c), c, c
    gates = slice(0, 2 * HIDDEN)
    z, reset = np.split(sigmoid((x @ w.T + h @ r.T + bw + br)[:, gates]), 2, axis=1)
    last = slice(2 * HIDDEN, None)
    if layer.node.attrs.get("linear_before_reset"):
        new = np.tanh(x @ w[last].T + bw[last] + reset * (h @ r[last].T + br[last]))
    else:
        new = np.tanh(x @ w[last].T + bw[last] + (reset * h) @ r[last].T + br[last])
    return (1 - z) * new + z * h, c, reset


@pytest.mark.parametrize("direction", ["forward", "reverse"])
@pytest.mark.parametrize(
    ("op", "attrs"),
    [("LSTM", {}), ("RNN", {}), ("GRU", {"linear_before_reset": 1}), ("GRU", {"linear_before_reset": 0})],
)
def test_states_before_every_step(op: str, attrs: dict[str, int], direction: str) -> None:
    layer = layer_of(op, direction=direction, **attrs)
    x = np.random.default_rng(1).standard_normal((TIME, BATCH, INPUTS)).astype(np.float32)
    h, c = np.zeros((BATCH, HIDDEN)), np.zeros((BATCH, HIDDEN))
    states, resets = np.zeros((2, TIME, BATCH, HIDDEN))
    for at in range(TIME) if direction == "forward" else reversed(range(TIME)):
        states[at] = h
        h, c, reset = step(layer, x[at], h, c)
        resets[at] = reset * states[at]
    blocks = [states] if attrs.get("linear_before_reset", 1) else [states, states, resets]
    weights = [part.weight_values() for part in layer.parts]
    found = States(layer, 1).operands(x, *weights)
    np.testing.assert_allclose(found, np.stack(blocks).reshape(len(blocks), -1, HIDDEN), atol=1e-5)


def test_states_are_rounded_to_codes() -> None:
    layer = layer_of("GRU")
    x = np.random.default_rng(1).standard_normal((TIME, BATCH, INPUTS)).astype(np.float32)
    weights = [part.weight_values() for part in layer.parts]
    codes = States(layer, 1).operands(x, *weights, levels=7) * 7
    np.testing.assert_allclose(codes, np.rint(codes), atol=1e-5)
    assert len(np.unique(np.rint(codes))) > 3
