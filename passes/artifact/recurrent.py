"""The steps lstm, gru and rnn: one direction of an ONNX recurrent operator (opset 22), in integers.

A step reads codes of shape (time, batch, inputs) and writes codes of shape (time, 1, batch, hidden).
Everything between the two is a fixed-point number:

* pre-activations and gates count in 2**-15, and so does the state ``h``, which lies in -1..1;
* the cell state ``c`` of an lstm counts in 2**-11 and saturates at 16 bits, so at -16 and 16;
* its products see the state as a code of `state_bits` bits, ``round(h * (2**(state_bits - 1) - 1))``.

For every time step, in the order of time or against it (`reverse`):

1. ``a = round(scale_x scale_W (x - zero_x) W) + b`` and ``r = round(scale_h scale_R code(h) R) + b'``, each
   product by a multiplier of up to 31 bits and one shift, and saturated at 2**15; ``b`` and ``b'`` are the
   first and the second half of the biases, in units of 2**-15;
2. gates by ``sigmoid`` and ``tanh`` of ``a + r``, in the order of ONNX: i, o, f, c for lstm, z, r, h for gru.
   In a gru with `linear_before_reset` the last gate is ``tanh(a + round(gate_r * r))``; without it, the code
   that meets the last third of R is that of ``gate_r * h``, rounded once;
3. lstm: ``c = round(f c + i g)``, ``h = round(o tanh(c))``; gru: ``h = round((1 - z) n + z h)``; rnn: ``h``
   is the gate. Sums are formed exactly and rounded once.

All of these round half up; only the last step, from ``h`` to the codes of the output, follows the rule of
the target. ``sigmoid`` interpolates between the entries of the table, of which number k stands for
``sigmoid(k / 32)`` in units of 2**-20, and is ``1 - sigmoid(-x)`` for negative x; ``tanh(x)`` is
``2 sigmoid(2 x) - 1``. A chord of the table is within ``max |sigmoid''| / (8 * 32**2)`` = 1.2e-5 of the
curve, so a gate is within 2.8e-5 (sigmoid) or 4.0e-5 (tanh) of the real function: 4 / 3 units at most.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from passes.artifact.weight import WeightLayout

if TYPE_CHECKING:
    from passes.artifact.step import Step
    from passes.artifact.weight import PackedWeight

GATES = {"lstm": 4, "gru": 3, "rnn": 1}
"""Gates of each operation."""
UNIT_BITS = 15
"""Fractional bits of pre-activations, gates and states."""
CELL_BITS = 11
"""Fractional bits of the cell state of an lstm."""
TABLE_BITS = 20
"""Fractional bits of the entries of the table."""
ENTRIES_PER_ONE = 32
TABLE_LENGTH = 16 * ENTRIES_PER_ONE + 1
"""Entries for 0 to 16; beyond, the function has its last value."""
MAX_GATE_BIAS = (1 << 31) - 1
MIN_STATE_BITS, MAX_STATE_BITS = 2, 16


def recurrent_problem(step: Step) -> str:  # noqa: PLR0911 - one return per problem
    """Say what is wrong with the weights, biases or table of a recurrent step; empty when all fit."""
    weight, hidden, table = step.weight, step.hidden_weight, step.table
    if weight is None or hidden is None or table is None:
        return "lacks a weight or its table"
    gates = GATES[step.op]
    rows, size = _matrix(hidden)
    if rows != gates * size or _matrix(weight)[0] != rows or not rows:
        shapes = f"{weight.shape} and {hidden.shape}"
        return f"expected weights of {gates} gates over one state, as matrices out_in, found {shapes}"
    for part in (weight.scale, weight.zero_point, hidden.scale, hidden.zero_point):
        if part.shape not in {(1,), (rows,)}:
            return f"expected 1 or {rows} scales and zero points, found {part.shape}"
    if step.bias is None or step.bias.shape != (2 * rows,):
        return f"expected {2 * rows} biases, found {None if step.bias is None else step.bias.shape}"
    if np.any((step.bias > MAX_GATE_BIAS) | (step.bias < -MAX_GATE_BIAS)):
        return f"a bias is larger than {MAX_GATE_BIAS}"
    if table[0] != 1 << TABLE_BITS - 1 or table[-1] > 1 << TABLE_BITS or np.any(table[1:] < table[:-1]):
        return f"expected a table that rises from {1 << TABLE_BITS - 1} to {1 << TABLE_BITS} at most"
    return ""


def _matrix(weight: PackedWeight) -> tuple[int, int]:
    """Return rows and columns, or zeros for what is no matrix stored by rows."""
    if len(weight.shape) != 2 or weight.layout is not WeightLayout.OUT_IN:
        return 0, 0
    return weight.shape[0], weight.shape[1]
