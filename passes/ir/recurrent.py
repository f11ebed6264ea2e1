"""LSTM, GRU and RNN nodes (ONNX, opsets 7 to 22): their operands, and which of them have an integer form."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx_graphsurgeon as gs

if TYPE_CHECKING:
    from collections.abc import Sequence

GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
"""Gates of each operator: rows of a weight over the hidden size."""
HIDDEN_WEIGHT, BIAS, LENGTHS, STATE, CELL, PEEPHOLES = 2, 3, 4, 5, 6, 7
"""Places among the inputs; only an LSTM has the last two."""
DIRECTIONS, BIDIRECTIONAL = ("forward", "reverse"), "bidirectional"

_FUNCTIONS = {"LSTM": ("sigmoid", "tanh", "tanh"), "GRU": ("sigmoid", "tanh"), "RNN": ("tanh",)}
_MATRIX_RANK = 3


def operand(node: gs.Node, index: int) -> gs.Tensor | None:
    """Return an input, or ``None`` where it is left out."""
    return node.inputs[index] if len(node.inputs) > index and node.inputs[index].name else None


def direction(node: gs.Node) -> str:
    """Return ``forward``, ``reverse`` or ``bidirectional``."""
    return str(node.attrs.get("direction", DIRECTIONS[0]))


def recurrent_obstacle(node: gs.Node) -> str:
    """Say why the cell of a node has no integer form; empty when it has one.

    Args:
        node: an LSTM, GRU or RNN, of one direction or two.
    """
    return _operand_obstacle(node) or _attribute_obstacle(node) or _shape_obstacle(node)


def single_obstacle(node: gs.Node) -> str:
    """Say why a node is not one layer: its cell, or two directions or a last state that are not split off."""
    reason = recurrent_obstacle(node)
    if reason:
        return reason
    if direction(node) not in DIRECTIONS:
        return "it has two directions; canonicalize splits them"
    if not node.outputs or not node.outputs[0].name or any(tensor.name for tensor in node.outputs[1:]):
        return "its last state is an output of its own; canonicalize takes it from the sequence"
    return ""


def _operand_obstacle(node: gs.Node) -> str:  # noqa: PLR0911 - one return per reason
    if isinstance(node.inputs[0], gs.Constant):
        return "its activation input is a constant"
    operands = [it for index in range(BIAS + 1) if (it := operand(node, index)) is not None]
    if any(tensor.inputs and tensor.inputs[0].op == "DequantizeLinear" for tensor in operands):
        return "it is quantized already"
    if not all(isinstance(tensor, gs.Constant) for tensor in operands[1:]):
        return "its weights or biases are computed at run time"
    if operand(node, LENGTHS) is not None:
        return "its sequences have lengths of their own"
    if operand(node, STATE) is not None or operand(node, CELL) is not None:
        return "its initial state is not zero"
    if operand(node, PEEPHOLES) is not None:
        return "it has peepholes"
    if len(node.outputs) > CELL - STATE + 1 and node.outputs[2].name:
        return "its last cell state is read"
    return ""


def _attribute_obstacle(node: gs.Node) -> str:
    if direction(node) not in (*DIRECTIONS, BIDIRECTIONAL):
        return f"its direction is {direction(node)}, which ONNX does not have"
    functions = node.attrs.get("activations")
    count = 1 if direction(node) in DIRECTIONS else len(DIRECTIONS)
    if functions is not None and [str(it).lower() for it in functions] != [*_FUNCTIONS[node.op]] * count:
        return f"its activations are {', '.join(map(str, functions))}; the default ones are supported"
    for name in ("clip", "input_forget", "layout"):
        if node.attrs.get(name):
            return f"its attribute {name} is {node.attrs[name]}; without it the operator is supported"
    return ""


def _shape_obstacle(node: gs.Node) -> str:  # noqa: PLR0911 - one return per reason
    """The operands must fit each other: nothing behind this check looks at them again."""
    count = 1 if direction(node) in DIRECTIONS else len(DIRECTIONS)
    weight, hidden, bias = (operand(node, index) for index in (1, HIDDEN_WEIGHT, BIAS))
    if weight is None or hidden is None:
        return "it lacks a weight"
    for tensor in (node.inputs[0], weight, hidden, *([bias] if bias is not None else [])):
        if tensor.dtype != np.float32:
            return f"{tensor.name} is {tensor.dtype}; float32 is supported"
    shape = node.inputs[0].shape
    if shape is not None and len(shape) != _MATRIX_RANK:
        return f"its input has rank {len(shape)}; (time, batch, channels) is expected"
    size = _hidden_size(node, hidden.shape)
    rows = GATES[node.op] * size
    fits = len(weight.shape) == _MATRIX_RANK and tuple(weight.shape[:2]) == (count, rows)
    if not size or not fits or tuple(hidden.shape) != (count, rows, size):
        return f"its weights have shapes {tuple(weight.shape)} and {tuple(hidden.shape)}, which do not fit"
    if shape is not None and isinstance(shape[2], int) and shape[2] != weight.shape[2]:
        return f"its input has {shape[2]} channels and its weight {weight.shape[2]}"
    if bias is not None and tuple(bias.shape) != (count, 2 * rows):
        return f"its biases have shape {tuple(bias.shape)}; {(count, 2 * rows)} is expected"
    return ""


def _hidden_size(node: gs.Node, shape: Sequence[int]) -> int:
    """Return the size of the state, or 0 where attribute and weight disagree."""
    size = int(shape[-1]) if len(shape) == _MATRIX_RANK else 0
    return size if node.attrs.get("hidden_size", size) == size else 0
