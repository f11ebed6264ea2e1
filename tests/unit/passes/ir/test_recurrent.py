"""Recurrent layers: which nodes are, what they ask of a machine, and why others are not."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from passes.ir.layers import find_layers, weight_matrix
from passes.ir.model import Model
from passes.ir.onnx_io import model_from_proto
from passes.ir.workload import workload

INPUTS, HIDDEN = 3, 2
GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}


def read(
    op: str,
    *,
    shape: tuple[int | None, ...] = (7, 5, INPUTS),
    inputs: tuple[str, ...] = ("x", "w", "r", "b"),
    outputs: tuple[str, ...] = ("y",),
    weights: dict[str, tuple[int, ...]] | None = None,
    **attrs: Any,
) -> Model:
    """One node of the shapes that belong together, but for what is given."""
    rows = GATES[op] * HIDDEN
    shapes = {"w": (1, rows, INPUTS), "r": (1, rows, HIDDEN), "b": (1, 2 * rows)} | (weights or {})
    graph = helper.make_graph(
        [helper.make_node(op, inputs, outputs, name="cell", hidden_size=HIDDEN, **attrs)],
        "cell",
        [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in outputs if name],
        [
            numpy_helper.from_array(np.ones(shapes[name], np.float32), name)
            for name in inputs[1:]
            if name in shapes
        ],
    )
    graph.input.extend(
        helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None)
        for name in inputs[1:]
        if name and name not in shapes
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8)
    return model_from_proto(proto, "cell", "0")


@pytest.mark.parametrize("op", GATES)
def test_a_cell_has_two_weights(op: str) -> None:
    (layer,), refused = find_layers(read(op).graph)
    rows = GATES[op] * HIDDEN
    assert refused == ()
    assert (layer.name, layer.op, layer.recurrent, layer.channel_axis) == ("cell", op, True, 1)
    assert [part.weight.name for part in layer.parts if part.weight is not None] == ["w", "r"]
    matrices = [weight_matrix(part, part.weight_values()).shape for part in layer.parts]
    assert matrices == [(1, rows, INPUTS), (1, rows, HIDDEN)]


@pytest.mark.parametrize("op", GATES)
def test_its_work_is_that_of_all_gates_at_all_times(op: str) -> None:
    (layer,), _ = find_layers(read(op).graph)
    work = workload(layer)
    assert (work.op, work.steps, work.batch) == ("Recurrent", 7, 5)
    assert work.macs == 7 * 5 * (INPUTS + HIDDEN) * GATES[op] * HIDDEN
    assert work.weight_count == (INPUTS + HIDDEN) * GATES[op] * HIDDEN


@pytest.mark.parametrize(
    ("op", "changes", "reason"),
    [
        (
            "GRU",
            {"direction": "bidirectional", "weights": {"w": (2, 6, 3), "r": (2, 6, 2), "b": (2, 12)}},
            "two directions",
        ),
        ("GRU", {"outputs": ("y", "last")}, "last state is an output of its own"),
        ("LSTM", {"outputs": ("y", "", "c")}, "last cell state is read"),
        ("LSTM", {"inputs": ("x", "w", "r", "b", "", "", "", "p")}, "peepholes"),
        ("RNN", {"inputs": ("x", "w", "r", "b", "", "h")}, "initial state is not zero"),
        ("RNN", {"inputs": ("x", "w", "r", "b", "lengths")}, "lengths of their own"),
        ("RNN", {"inputs": ("x", "v", "r")}, "computed at run time"),
        ("RNN", {"activations": ["Relu"]}, "activations are Relu"),
        ("RNN", {"direction": "sideways"}, "direction is sideways"),
        ("GRU", {"clip": 1.0}, "attribute clip"),
        ("LSTM", {"input_forget": 1}, "attribute input_forget"),
        ("GRU", {"layout": 1}, "attribute layout"),
        ("RNN", {"weights": {"r": (1, 2, 3)}}, "do not fit"),
        ("RNN", {"weights": {"w": (1, 3, 3)}}, "do not fit"),
        ("RNN", {"weights": {"b": (1, 3)}}, "biases have shape"),
        ("RNN", {"shape": (7, 5, 4)}, "4 channels and its weight 3"),
        ("RNN", {"shape": (7, 5)}, "rank 2"),
    ],
)  # fmt: skip
def test_other_cells_stay_float(op: str, changes: dict[str, Any], reason: str) -> None:
    layers, (refused,) = find_layers(read(op, **changes).graph)
    assert layers == ()
    assert (refused.name, refused.op) == ("cell", op)
    assert reason in refused.reason


def test_default_activations_may_be_spelled_out() -> None:
    (layer,), _ = find_layers(read("GRU", activations=["sigmoid", "Tanh"]).graph)
    assert layer.name == "cell"
