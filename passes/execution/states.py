"""What the state of a recurrent layer is multiplied with: the states before every time step.

The graph shows the sequence of states that a layer computes; what its second weight multiplies is that
sequence, one step late. Before the first step (ONNX, opset 14, no initial state) it is zero.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from onnx import helper
from scipy.special import expit

from passes.execution.session import Level, Session
from passes.ir.recurrent import BIAS, DIRECTIONS, direction, operand

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from passes.ir.layers import Layer

    Values = NDArray[np.float32]

_OPSET, _IR_VERSION = 14, 8
_INPUTS = ("x", "w", "r", "b")


class States:
    """One recurrent layer of one direction by itself, with any weights."""

    def __init__(self, layer: Layer, threads: int = 0) -> None:
        """Prepare a session.

        Args:
            layer: an LSTM, GRU or RNN with constant weights.
            threads: for ONNX Runtime; 0 leaves their number to it.
        """
        rows, self._hidden = layer.hidden_weight.shape[1:]  # type: ignore[union-attr]
        bias = operand(layer.node, BIAS)
        values = np.zeros((1, 2 * rows)) if bias is None else np.asarray(bias.values)
        self._bias: Values = values.astype(np.float32)
        self._reverse = direction(layer.node) == DIRECTIONS[1]
        after = int(bool(layer.node.attrs.get("linear_before_reset", 0)))
        self._resets = layer.op == "GRU" and not after
        attrs: dict[str, Any] = {"hidden_size": int(self._hidden), "direction": direction(layer.node)}
        attrs |= {"linear_before_reset": after} if layer.op == "GRU" else {}
        node = helper.make_node(layer.op, list(_INPUTS), ["y"], **attrs)
        kinds = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in _INPUTS]
        graph = helper.make_graph([node], "cell", kinds, [onnx.ValueInfoProto(name="y")])
        opsets = [helper.make_opsetid("", _OPSET)]
        proto = helper.make_model(graph, opset_imports=opsets, ir_version=_IR_VERSION)
        self._session = Session(proto, Level.DEFAULT, threads)

    def operands(self, x: Values, weight: Values, hidden: Values, levels: int = 0) -> Values:
        """Return what the rows of the second weight multiply at every step of every sequence.

        Args:
            x: inputs, shape (time, batch, channels).
            weight: for the input, in ONNX layout.
            hidden: for the state, in ONNX layout.
            levels: the state is rounded to as many steps to 1; 0 leaves it as it is.

        Returns:
            Shape (blocks, time * batch, hidden). One block stands for all rows; three for the gates of a GRU
            whose reset gate scales the state before its product.
        """
        feeds = dict(zip(_INPUTS, (x, weight, hidden, self._bias), strict=True))
        states = self._session.run(feeds)[0][:, 0]
        before = np.zeros_like(states)
        if self._reverse:
            before[:-1] = states[1:]
        else:
            before[1:] = states[:-1]
        rounded = _rounded(before, levels)
        if not self._resets:
            return rounded.reshape(1, -1, self._hidden)
        reset = _rounded(self._reset_gate(x, rounded, weight, hidden) * before, levels)
        return np.stack([rounded, rounded, reset]).reshape(3, -1, self._hidden)

    def _reset_gate(self, x: Values, states: Values, weight: Values, hidden: Values) -> Values:
        """Return the second of the gates, in the order of ONNX: update, reset, new state."""
        rows = slice(self._hidden, 2 * self._hidden)
        bias = self._bias.reshape(2, -1).sum(axis=0)
        gate: Values = expit(x @ weight[0, rows].T + states @ hidden[0, rows].T + bias[rows])
        return gate


def _rounded(states: Values, levels: int) -> Values:
    return np.rint(states * np.float32(levels)) / np.float32(levels) if levels else states
