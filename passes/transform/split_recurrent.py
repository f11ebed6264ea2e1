"""Recurrent nodes in one spelling: one direction each, no initial state, and the sequence as only result.

The last state is the last element of the sequence (for a reverse node the first), so it needs no output of
its own; an initial state of zeros is what ONNX assumes where there is none.
"""

from __future__ import annotations

import numpy as np
import onnx_graphsurgeon as gs

from passes.ir.ops import DEFAULT_DOMAINS
from passes.ir.recurrent import (
    BIAS,
    CELL,
    DIRECTIONS,
    GATES,
    HIDDEN_WEIGHT,
    STATE,
    direction,
    operand,
    recurrent_obstacle,
    single_obstacle,
)

_CARRIERS = frozenset(
    {"Slice", "Expand", "Reshape", "Identity", "Unsqueeze", "Squeeze", "Transpose", "Gather", "Tile"}
)
"""Operators whose result is zero where their first input is."""
_TIME, _DIRECTION = 0, 1
"""Axes of the sequence of states: (time, direction, batch, hidden)."""


def split_recurrent(graph: gs.Graph) -> int:
    """Rewrite every LSTM, GRU and RNN that has an integer form; return how many nodes changed.

    Args:
        graph: changed in place; what is no longer read stays for a cleanup.
    """
    outputs = {tensor.name for tensor in graph.outputs}
    changed = 0
    for node in list(graph.nodes):
        if node.op not in GATES or (node.domain or "") not in DEFAULT_DOMAINS or not node.outputs:
            continue
        changed += _drop_zero_states(node) + _drop_unread(node, outputs)
        if not recurrent_obstacle(node) and single_obstacle(node):
            _split(graph, node)
            changed += 1
    return changed


def is_zero(tensor: gs.Tensor) -> bool:
    """Whether a tensor is zero whatever the data are, as far as its producers tell."""
    while isinstance(tensor, gs.Variable):
        if len(tensor.inputs) != 1:
            return False
        producer = tensor.inputs[0]
        if producer.op == "ConstantOfShape":
            value = producer.attrs.get("value")
            return value is None or not np.any(value.values)
        if producer.op not in _CARRIERS:
            return False
        tensor = producer.inputs[0]
    return not np.any(tensor.values)


def _drop_zero_states(node: gs.Node) -> bool:
    before = len(node.inputs)
    for index in (STATE, CELL):
        tensor = operand(node, index)
        if tensor is not None and is_zero(tensor):
            node.inputs[index] = gs.Variable.empty()
    while node.inputs and not node.inputs[-1].name:
        del node.inputs[-1]
    return len(node.inputs) != before


def _drop_unread(node: gs.Node, outputs: set[str]) -> bool:
    """Take out last states that nobody reads."""
    before = len(node.outputs)
    while len(node.outputs) > 1 and not (node.outputs[-1].outputs or node.outputs[-1].name in outputs):
        del node.outputs[-1]
    return len(node.outputs) != before


def _split(graph: gs.Graph, node: gs.Node) -> None:
    sequence, last = node.outputs[0], node.outputs[1] if len(node.outputs) > 1 else None
    inputs, name = [*node.inputs], str(node.name)
    node.outputs.clear()
    node.inputs.clear()
    node.name = f"{name}.replaced"
    ways = DIRECTIONS if direction(node) not in DIRECTIONS else (direction(node),)
    parts = [_one_way(graph, node, inputs, name, way) for way in ways]
    if sequence.name:
        parts = _join(graph, f"{name}.sequence", parts, sequence, _DIRECTION)
    if last is not None and last.name:
        ends = [_end(graph, part, way) for part, way in zip(parts, ways, strict=True)]
        _join(graph, f"{name}.last", ends, last, _TIME)


def _one_way(graph: gs.Graph, node: gs.Node, inputs: list[gs.Tensor], name: str, way: str) -> gs.Variable:
    """Append the node of one direction; return its sequence of states."""
    x, constants = inputs[0], inputs[1 : BIAS + 1]
    if direction(node) not in DIRECTIONS:
        name, index = f"{name}.{way}", DIRECTIONS.index(way)
        constants = [_slice(tensor, index, f"{tensor.name}.{way}") for tensor in constants]
    hidden = int(constants[HIDDEN_WEIGHT - 1].shape[-1])
    shape = None if x.shape is None else [x.shape[0], 1, x.shape[1], hidden]
    result = gs.Variable(f"{name}.states", np.float32, shape)
    attrs = {key: value for key, value in node.attrs.items() if key != "activations"} | {"direction": way}
    graph.nodes.append(gs.Node(node.op, name, attrs, [x, *constants], [result]))
    return result


def _slice(tensor: gs.Constant, index: int, name: str) -> gs.Constant:
    return gs.Constant(name, np.ascontiguousarray(np.asarray(tensor.values)[index : index + 1]))


def _end(graph: gs.Graph, states: gs.Variable, way: str) -> gs.Variable:
    """Append a Gather of the state that was computed last: (1, batch, hidden)."""
    shape = None if states.shape is None else states.shape[1:]
    result = gs.Variable(f"{states.name}.last", np.float32, shape)
    place = gs.Constant(f"{states.name}.place", np.array(-1 if way == DIRECTIONS[0] else 0, np.int64))
    graph.nodes.append(gs.Node("Gather", f"{states.name}.end", {"axis": _TIME}, [states, place], [result]))
    return result


def _join(
    graph: gs.Graph, name: str, parts: list[gs.Variable], result: gs.Variable, axis: int
) -> list[gs.Variable]:
    """Let a result be all parts, one after the other; return them, of which a single one is the result."""
    if len(parts) == 1:
        parts[0].inputs[0].outputs = [result]
        return [result]
    graph.nodes.append(gs.Node("Concat", name, {"axis": axis}, [*parts], [result]))
    return parts
