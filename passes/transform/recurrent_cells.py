"""Recognises the cell of an LSTM, GRU or RNN in the body of a recurrence.

The equations are those of the ONNX operators, with any order of factors and terms, any way of multiplying
(one matrix or several, MatMul or Gemm, the input and the state joined or apart) and of cutting out gates.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from passes.ir.recurrent import GATES
from passes.transform.affine_trace import Affine, Trace, constant, producer

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import onnx_graphsurgeon as gs

    Pair = tuple[gs.Tensor, gs.Tensor]


@dataclass(frozen=True, eq=False)
class Cell:
    """A body in the terms of an ONNX operator.

    Attributes:
        op: LSTM, GRU or RNN.
        gates: pre-activations in the operator's order, as functions of ``x`` and ``h``.
        state_bias: what of the last gate's bias belongs to the state's product; zeros for most.
        attrs: of the operator.
    """

    op: str
    gates: Sequence[Affine]
    state_bias: np.ndarray
    attrs: dict[str, int]


def find_cell(body: gs.Graph, state: int, sizes: Sequence[int]) -> Cell | None:
    """Recognise a body.

    Args:
        body: with one or two states, and the input of a time step behind them.
        state: which of its inputs is the hidden state.
        sizes: lengths of the last axes of its inputs.

    Returns:
        The cell, or ``None`` where the body computes anything else.
    """
    h, x, result = body.inputs[state], body.inputs[-1], body.outputs[state]
    trace = Trace({h.name: ("h", sizes[state]), x.name: ("x", sizes[-1])})
    sequence = body.outputs[-1]
    if len(body.outputs) == len(body.inputs) and producer(sequence) is not producer(result):
        return None
    if len(body.inputs) == 3:
        found = _lstm(trace, result, body.inputs[1 - state], body.outputs[1 - state])
    else:
        found = _rnn(trace, result) or _gru(trace, result, h)
    size = sizes[state]
    fits = found is not None and all(
        len(gate.bias) == size and gate.parts.keys() <= {"x", "h"} for gate in found.gates
    )
    return found if fits else None


def _rnn(trace: Trace, result: gs.Tensor) -> Cell | None:
    gate = trace.gate(result, "Tanh")
    return None if gate is None else Cell("RNN", (gate,), np.zeros_like(gate.bias), {})


def _lstm(trace: Trace, result: gs.Tensor, cell: gs.Tensor, next_cell: gs.Tensor) -> Cell | None:
    """``c' = f c + i g`` and ``h' = o tanh(c')``."""
    for leave, held in _pairs(result, "Mul"):
        argument = trace.function(held, "Tanh")
        if argument is None or producer(argument) is not producer(next_cell):
            continue
        for kept, added in _pairs(next_cell, "Add"):
            forget = next((trace.gate(a, "Sigmoid") for a, b in _pairs(kept, "Mul") if b is cell), None)
            for enter, new in _pairs(added, "Mul"):
                sigmoids = trace.gate(enter, "Sigmoid"), trace.gate(leave, "Sigmoid"), forget
                gates = [gate for gate in (*sigmoids, trace.gate(new, "Tanh")) if gate is not None]
                if len(gates) == GATES["LSTM"]:
                    return Cell("LSTM", gates, np.zeros_like(gates[0].bias), {})
    return None


def _gru(trace: Trace, result: gs.Tensor, h: gs.Tensor) -> Cell | None:
    """``h' = (1 - z) n + z h``, or ``n + z (h - n)``."""
    for update, new in _mixtures(result, h):
        gate = trace.gate(update, "Sigmoid")
        argument = trace.function(new, "Tanh")
        if gate is None or argument is None:
            continue
        found = _reset_after(trace, gate, argument) or _reset_before(trace, gate, argument, h)
        if found is not None:
            return found
    return None


def _mixtures(result: gs.Tensor, h: gs.Tensor) -> Iterator[Pair]:
    """Yield update gate and new state wherever the sum has the form of their mixture with the last state."""
    for first, second in _pairs(result, "Add"):
        for update, last in _pairs(second, "Mul"):
            if last is h:
                yield from ((update, new) for rest, new in _pairs(first, "Mul") if _is_rest(rest, update))
            change = producer(last)
            if change is None or change.op != "Sub":
                continue
            if change.inputs[0] is h and change.inputs[1] is first:
                yield update, first


def _is_rest(tensor: gs.Tensor, gate: gs.Tensor) -> bool:
    node = producer(tensor)
    if node is None or node.op != "Sub" or node.inputs[1] is not gate:
        return False
    one = constant(node.inputs[0])
    return one is not None and one.size == 1 and float(one.item()) == 1.0


def _reset_after(trace: Trace, update: Affine, argument: gs.Tensor) -> Cell | None:
    """``n = tanh(W x + r (R h + b))``."""
    for inputs, scaled in _pairs(argument, "Add"):
        for gate, product in _pairs(scaled, "Mul"):
            reset, left, right = trace.gate(gate, "Sigmoid"), trace.affine(inputs), trace.affine(product)
            if reset is None or left is None or right is None or len(left.bias) != len(right.bias):
                continue
            if left.parts.keys() <= {"x"} and right.parts.keys() <= {"h"}:
                gates = update, reset, left + right
                return Cell("GRU", gates, right.bias, {"linear_before_reset": 1})
    return None


def _reset_before(trace: Trace, update: Affine, argument: gs.Tensor, h: gs.Tensor) -> Cell | None:
    """``n = tanh(W x + R (r h) + b)``: the product of gate and state is an operand of its own."""
    for node in {id(it): it for it in h.outputs if it.op == "Mul"}.values():
        gate = next((it for it in node.inputs if it is not h), h)
        reset, product = trace.gate(gate, "Sigmoid"), node.outputs[0]
        inner = Trace({**trace.sizes, product.name: ("reset", trace.sizes[h.name][1])}).affine(argument)
        if reset is None or inner is None or not inner.parts.keys() <= {"x", "reset"}:
            continue
        parts = {{"reset": "h"}.get(name, name): part for name, part in inner.parts.items()}
        gates = (update, reset, Affine(parts, inner.bias))
        return Cell("GRU", gates, np.zeros_like(inner.bias), {"linear_before_reset": 0})
    return None


def _pairs(tensor: gs.Tensor, op: str) -> Iterator[Pair]:
    """Yield both orders of the operands of the `op` that writes a tensor, if one does."""
    node = producer(tensor)
    if node is not None and node.op == op:
        yield node.inputs[0], node.inputs[1]
        yield node.inputs[1], node.inputs[0]
