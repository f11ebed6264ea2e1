"""Biases that are learned together with the rounding: they take up what is left of the mean error."""

from __future__ import annotations

import torch

Tensor = torch.Tensor


class ShiftedBias:
    """One bias under training.

    Attributes:
        shift: what is added, in units of the spread of the layer's output; the parameter to learn.
    """

    def __init__(self, values: Tensor, unit: float) -> None:
        """Start at given values.

        Args:
            values: shape (channels,).
            unit: spread of the layer's output.
        """
        self._values, self._unit = values, unit
        self.shift = torch.zeros_like(values)

    def learn(self) -> None:
        """Let gradients reach the parameter."""
        self.shift = self.shift.detach().requires_grad_()

    def value(self) -> Tensor:
        """Return the bias."""
        return self._values + self._unit * self.shift

    def numbers(self) -> tuple[float, ...]:
        """Return the bias as float32 values."""
        return tuple(float(value) for value in self.value().detach().cpu().tolist())
