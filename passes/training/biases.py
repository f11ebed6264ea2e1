"""Biases that are learned together with the rounding: they take up what is left of the mean error."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Callable

    from passes.training.steps import StepQuantizer


class ShiftedBias:
    """One bias under training, in whole steps of the accumulator as the lowered model has it.

    Attributes:
        shift: what is added, in units of the spread of the layer's output; the parameter to learn.
    """

    def __init__(
        self, values: Tensor, unit: float, weight_steps: Callable[[], Tensor], act: StepQuantizer
    ) -> None:
        """Start at given values.

        Args:
            values: shape (channels,).
            unit: spread of the layer's output.
            weight_steps: returns the present scale of the layer's weight, shape (channels,) or (1,).
            act: quantizer of the layer's input, whose step may be learned at the same time.
        """
        self._values, self._unit = values, unit
        self._weight_steps, self._act = weight_steps, act
        self.shift = torch.zeros_like(values)

    def learn(self) -> None:
        """Let gradients reach the parameter."""
        self.shift = self.shift.detach().requires_grad_()

    def value(self) -> Tensor:
        """Return the bias, rounded; gradients pass as if it were not."""
        free, step = self._free(), self._weight_steps() * self._act.step()
        return free + (torch.round(free / step) * step - free).detach()

    def numbers(self) -> tuple[float, ...]:
        """Return the bias as float32 values, not rounded yet."""
        return tuple(float(value) for value in self._free().detach().cpu().tolist())

    def _free(self) -> Tensor:
        return self._values + self._unit * self.shift
