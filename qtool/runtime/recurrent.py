"""LSTM, GRU and RNN (ONNX, opset 22) in integers; `passes.artifact.recurrent` says what they compute."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from passes.artifact.recurrent import CELL_BITS, GATES, UNIT_BITS
from passes.numerics import Rounding, rounding_shift_right
from qtool.runtime.epilogue import Epilogue
from qtool.runtime.gates import Curve, Projection
from qtool.runtime.node import Array, Kernel, Node, reach

if TYPE_CHECKING:
    from passes.artifact import PackedWeight

Integers = NDArray[np.int64]
State = tuple[Integers, Integers]
"""The state in units of 2**-15 and the cell state in units of 2**-11; each (batch, hidden)."""
Cell = Callable[[Integers, State], State]
"""One time step: from the input's part of the pre-activations, (batch, gates * hidden), and a state."""

_ONE = 1 << UNIT_BITS
_CELL_LIMIT = 1 << 15


def recurrent(node: Node) -> Kernel:
    """Build the kernel for a sequence of codes (time, batch, inputs): states (time, 1, batch, hidden)."""
    info = node.inputs[0]
    inputs = Projection.of(node, node.weight, info.scale, reach(info))
    hidden = inputs.matrix.shape[1] // GATES[node.step.op]
    bias = np.split(_bias(node), 2)
    cell = _CELLS[node.step.op](node, bias[1])
    epilogue = Epilogue(node, np.asarray(2.0**-UNIT_BITS), _ONE)

    def run(x: Array) -> Array:
        steps, _, batch, _ = shape = states_shape(node, x.shape)
        state = np.zeros((batch, hidden), np.int64), np.zeros((batch, hidden), np.int64)
        states = np.empty(shape, np.int32)
        for step in reversed(range(steps)) if node.step.integer("reverse") else range(steps):
            centred = np.subtract(x[step], info.zero_point, dtype=np.int64)
            state = cell(inputs(centred) + bias[0], state)
            states[step, 0] = state[0]
        return epilogue(states)

    return run


def states_shape(node: Node, shape: Sequence[int]) -> tuple[int, ...]:
    """Return the shape of the states, (time, 1, batch, hidden), for an input of (time, batch, inputs).

    Raises:
        ArtifactError: the input has another shape, or an absurdly large one.
    """
    rows, depth = node.weight.shape
    if len(shape) != 3 or shape[2] != depth:
        node.fail(f"expected (time, batch, {depth}), found an input of shape {tuple(shape)}")
    steps, batch, _ = shape
    node.check_size((steps, batch, rows))
    return steps, 1, batch, rows // GATES[node.step.op]


def _bias(node: Node) -> Integers:
    if node.step.bias is None:
        node.fail("lacks its biases")
    return np.asarray(node.step.bias)


def _products(node: Node) -> Callable[[slice], Projection]:
    """Return what makes, of rows of the weight for the state, their product with a code of the state."""
    weight: PackedWeight | None = node.step.hidden_weight
    if weight is None:
        node.fail("lacks the weight for its state")
    levels = _levels(node)
    whole = Projection.of(node, weight, 1.0 / levels, levels)
    return whole.rows


def _levels(node: Node) -> int:
    return (1 << node.step.integer("state_bits") - 1) - 1


def _curve(node: Node) -> Curve:
    if node.step.table is None:
        node.fail("lacks its table")
    return Curve(node.step.table)


def _rounded(value: Integers, bits: int) -> Integers:
    return rounding_shift_right(value, bits, Rounding.HALF_UP)


def _rnn(node: Node, bias: Integers) -> Cell:
    curve, product, levels = _curve(node), _products(node)(slice(None)), _levels(node)

    def cell(inputs: Integers, state: State) -> State:
        code = _rounded(state[0] * levels, UNIT_BITS)
        return curve.tanh(inputs + product(code) + bias), state[1]

    return cell


def _lstm(node: Node, bias: Integers) -> Cell:
    curve, product, levels = _curve(node), _products(node)(slice(None)), _levels(node)
    raise_by = UNIT_BITS - CELL_BITS

    def cell(inputs: Integers, state: State) -> State:
        code = _rounded(state[0] * levels, UNIT_BITS)
        enter, leave, forget, new = np.split(inputs + product(code) + bias, 4, axis=1)
        kept = curve.sigmoid(forget) * state[1] << raise_by
        held = _rounded(kept + curve.sigmoid(enter) * curve.tanh(new), 2 * UNIT_BITS - CELL_BITS)
        held = np.clip(held, -_CELL_LIMIT, _CELL_LIMIT - 1)
        return _rounded(curve.sigmoid(leave) * curve.tanh(held << raise_by), UNIT_BITS), held

    return cell


def _gru(node: Node, bias: Integers) -> Cell:
    candidate = (
        _reset_after(node, bias) if node.step.integer("linear_before_reset") else _reset_before(node, bias)
    )

    def cell(inputs: Integers, state: State) -> State:
        update, new = candidate(inputs, state[0])
        return _rounded((_ONE - update) * new + update * state[0], UNIT_BITS), state[1]

    return cell


Candidate = Callable[[Integers, Integers], tuple[Integers, Integers]]
"""Update gate and new state of a gru, from the input's part and the last state."""


def _reset_after(node: Node, bias: Integers) -> Candidate:
    """The reset gate scales the product of the state (`linear_before_reset`)."""
    curve, product, levels = _curve(node), _products(node)(slice(None)), _levels(node)
    hidden = len(bias) // GATES["gru"]

    def candidate(inputs: Integers, state: Integers) -> tuple[Integers, Integers]:
        own = product(_rounded(state * levels, UNIT_BITS)) + bias
        update, reset = np.split(curve.sigmoid(inputs[:, : 2 * hidden] + own[:, : 2 * hidden]), 2, axis=1)
        return update, curve.tanh(inputs[:, 2 * hidden :] + _rounded(reset * own[:, 2 * hidden :], UNIT_BITS))

    return candidate


def _reset_before(node: Node, bias: Integers) -> Candidate:
    """The reset gate scales the state before its product."""
    curve, levels, hidden = _curve(node), _levels(node), len(bias) // GATES["gru"]
    gates, last = slice(0, 2 * hidden), slice(2 * hidden, None)
    gate_product, last_product = (_products(node)(rows) for rows in (gates, last))

    def candidate(inputs: Integers, state: Integers) -> tuple[Integers, Integers]:
        own = gate_product(_rounded(state * levels, UNIT_BITS)) + bias[gates]
        update, reset = np.split(curve.sigmoid(inputs[:, gates] + own), 2, axis=1)
        code = _rounded(reset * state * levels, 2 * UNIT_BITS)
        return update, curve.tanh(inputs[:, last] + last_product(code) + bias[last])

    return candidate


_CELLS: dict[str, Callable[[Node, Integers], Cell]] = {"lstm": _lstm, "gru": _gru, "rnn": _rnn}
KERNELS = dict.fromkeys(_CELLS, recurrent)
