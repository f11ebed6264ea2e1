"""Weights whose bits are learned together with their values and scales."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from passes.training.level_table import LevelTable
from passes.training.lsq_weight import LsqWeight

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from passes.ir.plan import TensorQuant
    from passes.training.gates import Gates


class GatedWeight(LsqWeight):
    """One weight under training, with uniform or free levels at each of several widths.

    A scale has its own start at every width, where the squared error is least, and one learned change. So
    have free levels, of which fewer bits have the means of blocks of changes.

    Attributes:
        gates: its bits; other weights may share them.
        count: number of weights.
    """

    def __init__(
        self,
        values: NDArray[np.float32],
        quants: Sequence[TensorQuant],
        codes: NDArray[np.integer],
        least: NDArray[np.float64],
        gates: Gates,
        correction: float = 0.0,
    ) -> None:
        """Start at given codes of the widest quantizer.

        Args:
            values: the float weight, in ONNX layout.
            quants: specification and parameters, for each width of the gates.
            codes: where to start.
            least: steps do not fall below these, of the shape of the scale.
            gates: bits.
            correction: of the gradient of free levels, as for `LevelTable`.
        """
        super().__init__(values, quants[-1], codes, least, gates.free.device)
        self._quants, self.gates, self.count = tuple(quants), gates, int(values.size)
        tabled = [quant for quant in quants if quant.levels is not None]
        if tabled:
            bits, fmt = gates.widths[-1], tabled[0].spec.format
            self.table = LevelTable(1 << bits, 2.0 ** (fmt.bits - bits), fmt, gates.free.device, correction)

    def value(self) -> Tensor:
        """Return the weight in whole codes of the width in use, differentiable, by gates as well."""
        place = self.gates.place
        found = self._at(place)
        if not self.gates.free.requires_grad:
            return found
        with torch.no_grad():
            others = {other: self._at(other) for other in self.gates.around()}
        self._use(place)
        return self.gates.carry(found, others)

    @property
    def coarseness(self) -> float:
        """How many steps of the widest quantizer make one of that in use."""
        return float(2 ** (self.gates.widths[-1] - self.gates.bits))

    def error(self, place: int) -> Tensor:
        """Return what the weight in use at another width is off the float weight, in steps of the widest."""
        with torch.no_grad():
            return self._at(place) / self._unit - self.latent

    def decision(self) -> TensorQuant:
        """Return the quantization at the width in use, with its codes."""
        self._use(self.gates.place)
        return super().decision()

    def _at(self, place: int) -> Tensor:
        self._use(place)
        return super().value()

    def _use(self, place: int) -> None:
        self._quant = self._quants[place]
        self._start = self._quant.params.scale  # type: ignore[union-attr]
