"""Learning rates where bits change under way: that of a weight counts in steps of the width in use."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

    from passes.training.gated import Gated
    from passes.training.gated_weight import GatedWeight


def rated(parts: Gated, rate: float, step_rate: float) -> list[dict[str, Any]]:
    """Return weights and scales in groups as optimizers take them.

    Args:
        parts: what is learned.
        rate: of the weights, in steps of their codes.
        step_rate: of scales, relative to the scale.
    """
    shifts = [step.shift for step in parts.steps.values()]
    shifts += [it.shift for it in parts.weights.values() if it.shift.requires_grad]
    found = [{"params": _in_steps(it), "initial": rate, "weight": it} for it in parts.weights.values()]
    return found + ([{"params": shifts, "initial": step_rate, "weight": None}] if shifts else [])


def _in_steps(weight: GatedWeight) -> list[torch.Tensor]:
    """Return what counts in steps of the codes of a weight: values, and levels where they are free."""
    return [weight.latent] + ([] if weight.table is None else [weight.table.change])


def set_rates(optimizer: torch.optim.Optimizer, factor: float) -> None:
    """Set the learning rates of a step, by the factor of its schedule and the widths in use."""
    for group in optimizer.param_groups:
        weight = group["weight"]
        group["lr"] = group["initial"] * factor * (weight.coarseness if weight is not None else 1.0)
