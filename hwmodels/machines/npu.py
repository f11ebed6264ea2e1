"""Neural processing units with a matrix engine and a scratchpad that software manages."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from hwmodels.arrays import LayerArrays, PairArrays
from hwmodels.machines.blocked import BlockedMachine

if TYPE_CHECKING:
    from hwmodels.arrays import Floats


@dataclass(frozen=True)
class Npu(BlockedMachine):
    """A matrix engine with a scratchpad that keeps activations between layers where they fit.

    latency = overhead + max(padded MACs / rate(w, a) / clock, traffic / bandwidth). The compiler places a
    layer's inputs and outputs in the scratchpad where both fit together, and then only weights cross the
    memory interface; otherwise everything does. Narrow weights are widened on the way into the engine, so
    they gain speed only where memory is the bound.
    """

    def traffic_bytes(self, layers: LayerArrays, stored: PairArrays) -> Floats:
        """Return the bytes that move: only weights where the activations stay in the scratchpad."""
        moved = super().traffic_bytes(layers, stored)
        activations = layers.activations * stored.act / 8
        return np.where(activations <= self.memory.on_chip_bytes, moved - activations, moved)
