"""Recurrent layers as integer steps: attributes, biases and the table of their gates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from passes.artifact import Step
from passes.artifact.recurrent import (
    ENTRIES_PER_ONE,
    MAX_GATE_BIAS,
    MIN_STATE_BITS,
    TABLE_BITS,
    TABLE_LENGTH,
    UNIT_BITS,
)
from passes.errors import LoweringError
from passes.ir.recurrent import BIAS, DIRECTIONS, direction, operand

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from passes.artifact import Attr, PackedWeight
    from passes.ir.layers import Layer
    from passes.ir.plan import QuantPlan

Bounds = tuple[int | None, int | None]


@dataclass(frozen=True, slots=True)
class Wiring:
    """Where a step reads and writes, and the codes between which a fused clamp holds its output."""

    inputs: tuple[str, ...]
    output: str
    bounds: Bounds


def recurrent_step(layer: Layer, plan: QuantPlan, weights: tuple[PackedWeight, ...], wiring: Wiring) -> Step:
    """Return the step of an LSTM, GRU or RNN of one direction.

    Args:
        layer: a recurrent layer.
        plan: with its activation's precision, which is that of the state too.
        weights: of the input and of the state.
        wiring: what it reads and writes.

    Raises:
        LoweringError: a bias is not finite or as large as 2**16.
    """
    attrs: dict[str, Attr] = {
        "reverse": int(direction(layer.node) == DIRECTIONS[1]),
        "state_bits": state_bits(layer, plan),
    }
    if layer.op == "GRU":
        attrs["linear_before_reset"] = int(bool(layer.node.attrs.get("linear_before_reset", 0)))
    low, high = wiring.bounds
    return Step(
        layer.op.lower(), layer.name, wiring.inputs, wiring.output, attrs, weights[0], gate_biases(layer),
        low, high, sigmoid_table(), weights[1],
    )  # fmt: skip


def state_bits(layer: Layer, plan: QuantPlan) -> int:
    """Return the width of the codes of the state: that of the input's, but 2 at least."""
    return max(plan.tensors[layer.act.name].spec.format.bits, MIN_STATE_BITS)


def gate_biases(layer: Layer) -> NDArray[np.int64]:
    """Return the biases in units of 2**-15, shape (2 * gates * hidden,): those of the input come first.

    Raises:
        LoweringError: one is not finite, or as large as 2**16.
    """
    rows = layer.hidden_weight.shape[1]  # type: ignore[union-attr]
    bias = operand(layer.node, BIAS)
    values = np.zeros(2 * rows) if bias is None else np.asarray(bias.values, np.float64).reshape(-1)
    codes = np.rint(np.ldexp(values, UNIT_BITS))
    if not np.all(np.abs(codes) <= MAX_GATE_BIAS):
        raise LoweringError(
            f"layer {layer.name} ({layer.op}): a bias is not finite or exceeds 2**16; expected the "
            "pre-activation of a sigmoid or tanh"
        )
    return codes.astype(np.int64)


def sigmoid_table() -> NDArray[np.int64]:
    """Return ``2**20 * sigmoid(k / 32)`` for k of 0 to 512, rounded."""
    points = np.arange(TABLE_LENGTH) / ENTRIES_PER_ONE
    return np.rint(np.ldexp(1.0 / (1.0 + np.exp(-points)), TABLE_BITS)).astype(np.int64)
