"""Activations whose bits are learned together with their step."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from passes.training.steps import StepQuantizer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from passes.ir.plan import TensorQuant
    from passes.training.gates import Gates


class GatedStep(StepQuantizer):
    """The quantizer of a group of activations, at each of several widths.

    A step has its own start at every width, and one learned change.

    Attributes:
        gates: its bits.
    """

    def __init__(self, quants: Sequence[TensorQuant], gates: Gates) -> None:
        """Start at the parameters of the widest, the last."""
        super().__init__(quants[-1], gates.free.device)
        self._quants, self.gates = tuple(quants), gates

    def __call__(self, x: Tensor, stay: Tensor | None = None) -> Tensor:
        """Return codes of the width in use times step; gradients reach the gates as well."""
        place = self.gates.place
        self._use(place)
        found = super().__call__(x, stay)
        if not (torch.is_grad_enabled() and self.gates.free.requires_grad):
            return found
        with torch.no_grad():
            others = {other: self._at(other, x) for other in self.gates.around()}
        self._use(place)
        return self.gates.carry(found, others)

    def decision(self) -> TensorQuant:
        """Return the quantization at the width in use, with the present step."""
        self._use(self.gates.place)
        return super().decision()

    def _at(self, place: int, x: Tensor) -> Tensor:
        self._use(place)
        return super().__call__(x)

    def _use(self, place: int) -> None:
        self.begin_at(self._quants[place])
