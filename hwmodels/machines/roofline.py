"""The shared analytic core: what crosses the memory interface, and the slower of computing and moving.

Williams, Waterman and Patterson, "Roofline: an insightful visual performance model" (2009), bound a kernel by
its compute rate and by its traffic over the bandwidth. The traffic here follows from blocking one operand of
a matrix product in on-chip memory while the other streams past it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from hwmodels.machines.tiles import products

if TYPE_CHECKING:
    from hwmodels.arrays import Floats, LayerArrays, PairArrays


@dataclass(frozen=True, slots=True)
class Memory:
    """Table ``[memory]``: on-chip memory, and the interface to the memory behind it."""

    on_chip_bytes: int
    memory_bytes_per_s: float
    source: str

    def seconds(self, moved_bytes: Floats) -> Floats:
        """Return the time that bytes take across the interface."""
        return moved_bytes / self.memory_bytes_per_s

    def traffic_bytes(self, layers: LayerArrays, stored: PairArrays) -> Floats:
        """Return the bytes that cross the interface: operands as often as blocking needs, outputs once.

        Either blocks of weights stay on chip and the inputs stream past each of them, or blocks of inputs
        stay and the weights stream; the cheaper is taken. The steps of a recurrent layer depend on each
        other, so its weights are read again in every step unless they all fit. A computed right side is an
        activation.
        """
        weights = (layers.weight_count * stored.weight + layers.rhs_elements * stored.act) / 8
        inputs, outputs = layers.in_elements * stored.act / 8, layers.out_elements * stored.act / 8
        blocks = layers.groups * np.where(layers.rhs_elements > 0, products(layers), 1.0)
        weights_stay = weights + inputs * self._parts(weights / blocks)
        inputs_stay = inputs + weights * self._parts(inputs / blocks)
        stepwise = inputs + weights * np.where(weights > self.on_chip_bytes, layers.steps, 1.0)
        operands = np.where(layers.steps > 1, stepwise, np.minimum(weights_stay, inputs_stay))
        return operands + outputs

    def _parts(self, operand_bytes: Floats) -> Floats:
        return np.maximum(np.ceil(operand_bytes / self.on_chip_bytes), 1.0)


@dataclass(frozen=True, slots=True)
class Power:
    """Table ``[power]``: what the machine draws while a layer runs, whatever its precision."""

    power_w: float
    source: str

    def energy_j(self, seconds: Floats) -> Floats:
        """Return the energy of layers that take ``seconds``."""
        return self.power_w * seconds
