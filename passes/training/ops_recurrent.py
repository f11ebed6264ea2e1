"""Recurrent networks, step by step (ONNX LSTM, GRU and RNN, opset 7 to 22; layout 0)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Callable

    from passes.training.call import Call, Operator

State = tuple[Tensor, ...]
"""Hidden state, and cell state for an LSTM, each of shape (batch, hidden)."""
DEFAULTS = {"LSTM": ["Sigmoid", "Tanh", "Tanh"], "GRU": ["Sigmoid", "Tanh"], "RNN": ["Tanh"]}
GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}


def _recurrent(call: Call, x: Tensor, weight: Tensor, recurrence: Tensor, *others: Tensor | None) -> State:
    """Run every direction; returns all hidden states, (steps, directions, batch, hidden), and the last ones.

    The other inputs are bias, lengths, first hidden state, first cell state and peepholes; lengths and
    peepholes were refused before.
    """
    bias, _, *given = [*others, *[None] * 4][:4]
    count, size = weight.shape[0], recurrence.shape[-1]
    bias = weight.new_zeros(count, 2 * GATES[call.op] * size) if bias is None else bias
    zeros = x.new_zeros(count, x.shape[1], size)
    starts = [zeros if start is None else start for start in given][: 2 if call.op == "LSTM" else 1]
    runs = []
    for at in range(count):
        backward = call.text("direction", "forward") == "reverse" or at == 1
        driven = x @ weight[at].t() + bias[at, : bias.shape[1] // 2]
        inner = bias[at, bias.shape[1] // 2 :]
        state = tuple(start[at] for start in starts)
        outputs, state = _run(call, driven.flip(0) if backward else driven, state, recurrence[at], inner)
        runs.append((outputs.flip(0) if backward else outputs, state))
    everything = torch.stack([outputs for outputs, _ in runs], dim=1)
    last = tuple(torch.stack(parts) for parts in zip(*(state for _, state in runs), strict=True))
    return (everything, *last)[: call.outputs]


def _run(call: Call, driven: Tensor, state: State, recurrence: Tensor, bias: Tensor) -> tuple[Tensor, State]:
    """Return the hidden states of one direction, (steps, batch, hidden), and the last state."""
    outputs: list[Tensor] = []
    for step in driven:
        state = CELLS[call.op](call, step, state, recurrence, bias)
        outputs.append(state[0])
    return torch.stack(outputs), state


def _lstm(call: Call, driven: Tensor, state: State, recurrence: Tensor, bias: Tensor) -> State:
    """Gates in the order input, output, forget, cell."""
    hidden, cell = state
    gates = driven + hidden @ recurrence.t() + bias
    i, o, f, c = gates.chunk(4, dim=-1)
    cell = torch.sigmoid(f) * cell + torch.sigmoid(i) * torch.tanh(c)
    return torch.sigmoid(o) * torch.tanh(cell), cell


def _gru(call: Call, driven: Tensor, state: State, recurrence: Tensor, bias: Tensor) -> State:
    """Gates in the order update, reset, hidden."""
    (hidden,), size = state, state[0].shape[-1]
    x_z, x_r, x_h = driven.chunk(3, dim=-1)
    h_z, h_r = (hidden @ recurrence[: 2 * size].t() + bias[: 2 * size]).chunk(2, dim=-1)
    z, r = torch.sigmoid(x_z + h_z), torch.sigmoid(x_r + h_r)
    after = bool(call.integer("linear_before_reset", 0))
    rows, shift = recurrence[2 * size :].t(), bias[2 * size :]
    inner = r * (hidden @ rows + shift) if after else (r * hidden) @ rows + shift
    return ((1 - z) * torch.tanh(x_h + inner) + z * hidden,)


def _rnn(call: Call, driven: Tensor, state: State, recurrence: Tensor, bias: Tensor) -> State:
    return (torch.tanh(driven + state[0] @ recurrence.t() + bias),)


CELLS: dict[str, Callable[[Call, Tensor, State, Tensor, Tensor], State]] = {
    "GRU": _gru,
    "LSTM": _lstm,
    "RNN": _rnn,
}
"""One step of each network."""


def refuse_recurrent(call: Call) -> str:
    """Say why a recurrent network cannot run, or return nothing."""
    wanted = [str(name) for name in call.attrs.get("activations") or []]
    default = DEFAULTS[call.op]
    if wanted and wanted != default * (len(wanted) // len(default)):
        return f"activations {wanted} are not supported; the default ones are"
    for key in ("clip", "layout", "input_forget"):
        if call.attrs.get(key):
            return f"the attribute {key} is not supported"
    return ""


OPERATORS: dict[str, Operator] = dict.fromkeys(CELLS, _recurrent)
"""By name."""
