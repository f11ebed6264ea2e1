"""What Adam remembers, by name: the part of a checkpoint that is not the parameters themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from passes.training.bridge import Values

MOMENTS = ("exp_avg", "exp_avg_sq")


def begin(optimizer: torch.optim.Optimizer, named: Mapping[str, Tensor]) -> None:
    """Give every parameter the state that Adam itself would give it at its first step."""
    for parameter in named.values():
        zeros = {key: torch.zeros_like(parameter) for key in MOMENTS}
        optimizer.state[parameter] = {"step": torch.zeros(()), **zeros}


def state_of(optimizer: torch.optim.Optimizer, named: Mapping[str, Tensor]) -> Values:
    """Return the parameters and what Adam remembers of each, by name."""
    found: Values = {}
    for name, parameter in named.items():
        found[name] = parameter
        state = optimizer.state[parameter]
        found |= {f"{key} of {name}": state[key] for key in ("step", *MOMENTS)}
    return found


def restore(state: Mapping[str, Tensor], tensors: Mapping[str, Tensor]) -> None:
    """Copy tensors of a checkpoint into those of `state_of`."""
    with torch.no_grad():
        for name, value in state.items():
            value.copy_(tensors[name])
