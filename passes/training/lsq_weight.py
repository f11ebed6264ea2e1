"""Weights that are trained together with their scales: Learned Step Size Quantization [arXiv 1902.08153].

With w the float weight, s its step and v = w / s, used is ``s * round(clip(v, qmin, qmax))``. Gradients pass
the rounding as if it were not there, so that the derivative by log s is ``s * (round(v) - v)`` inside
the range and ``s * qmin`` or ``s * qmax`` outside [eq. 3, times s]. Steps in use are short scales. A weight
with a table takes its nearest level in place of the nearest integer, and the levels are learned as well.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from passes.numerics import PerGroup, PerTensor, QuantParams, short_scale
from passes.training.level_table import LevelTable
from passes.training.rounding import NEAR, START

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from passes.ir.plan import TensorQuant

LARGEST_CHANGE = 4.0
"""Factor by which a step may grow or shrink."""


class LsqWeight:
    """One weight under training.

    Attributes:
        latent: the float weight over the step to start with, of the shape of the weight; with a table, over
            as many codes as there would be from one to the next of as many uniform levels.
        shift: logarithm of the step over the step to start with, of the shape of the scale. Scales of groups
            of channels have two levels, and keep their steps.
        table: levels under training; ``None`` without any.
    """

    def __init__(
        self,
        values: NDArray[np.float32],
        quant: TensorQuant,
        codes: NDArray[np.integer],
        least: NDArray[np.float64],
        device: torch.device,
    ) -> None:
        """Start at given codes, so that rounding at once returns them.

        Args:
            values: the float weight, in ONNX layout; it is moved towards its codes.
            quant: specification and parameters.
            codes: where to start.
            least: steps do not fall below these, of the shape of the scale.
            device: where to keep tensors.
        """
        self._quant, self._device = quant, device
        self._start: NDArray[np.float32] = quant.params.scale  # type: ignore[union-attr]
        codes_per_step = 2.0 ** (quant.spec.format.bits - quant.stored_bits)
        self._unit = self._expanded(self._start, values.shape) * codes_per_step
        start = codes / codes_per_step
        away = values / self._unit.cpu().numpy() - start
        below, above = (NEAR, NEAR) if quant.levels is None else _rooms(codes, quant.levels, codes_per_step)
        near = np.clip(away, -below, above)
        lowest = np.log(np.clip(least / self._start, 1 / LARGEST_CHANGE, 1.0))
        self._lowest = torch.from_numpy(np.asarray(lowest, dtype=np.float32)).to(device)
        self.latent = torch.from_numpy((start + START * near).astype(np.float32)).to(device).requires_grad_()
        grouped = isinstance(quant.spec.granularity, PerGroup)
        self.shift = torch.zeros(self._start.shape, device=device).requires_grad_(not grouped)
        self.table: LevelTable | None = None
        if quant.levels is not None:
            self.table = LevelTable(len(quant.levels), codes_per_step, quant.spec.format, device)

    def parameters(self) -> dict[str, Tensor]:
        """Return what is learned, by name."""
        found = {"latent": self.latent} | ({"shift": self.shift} if self.shift.requires_grad else {})
        return found | ({"levels": self.table.change} if self.table is not None else {})

    def value(self) -> Tensor:
        """Return the weight in whole codes, differentiable."""
        shift = self._shift()
        # This factor is 1: it carries the gradient of the logarithm of the step.
        factor = self._expanded_tensor(torch.exp(shift - shift.detach()))
        step = self._expanded(self.scale(), self.latent.shape) * factor
        return self._whole(self._steps(step), step) * step

    def codes(self) -> NDArray[np.integer]:
        """Return the codes, in ONNX layout."""
        with torch.no_grad():
            step = self._expanded(self.scale(), self.latent.shape)
            codes = torch.round(self._whole(self._steps(step), step))
        found: NDArray[np.integer] = codes.cpu().numpy().astype(self._quant.spec.format.dtype)
        return found

    def scale(self) -> NDArray[np.float32]:
        """Return the steps in use, of the shape of the scale: short scales nearest to what was learned."""
        if not self.shift.requires_grad:
            return self._start
        wanted = self._start * np.exp(self._shift().detach().cpu().numpy())
        return short_scale(wanted, up=False, places=self._quant.spec.scale_places)

    def decision(self) -> TensorQuant:
        """Return the quantization with the present steps, codes and levels."""
        params = QuantParams(self.scale(), self._quant.params.zero_point)  # type: ignore[union-attr]
        return replace(self._quant, params=params, codes=self.codes(), points=None, levels=self._levels())

    def _levels(self) -> tuple[int, ...] | None:
        start = self._quant.levels
        return None if self.table is None or start is None else self.table.levels(start)

    def _shift(self) -> Tensor:
        return torch.clamp(torch.maximum(self.shift, self._lowest), max=math.log(LARGEST_CHANGE))

    def _steps(self, step: Tensor) -> Tensor:
        """Return the weight over its step, clipped to the range of the format."""
        limits = self._quant.spec.format.qmin, self._quant.spec.format.qmax
        return torch.clamp(self.latent * (self._unit / step), *limits)

    def _whole(self, steps: Tensor, step: Tensor) -> Tensor:
        """Return the codes for a weight over its step, differentiable."""
        levels = self._quant.levels
        if self.table is None or levels is None:
            return steps + (torch.round(steps) - steps).detach()
        return self.table.chosen(steps, levels, step)

    def _expanded(self, scale: NDArray[np.float32], shape: tuple[int, ...]) -> Tensor:
        """Return scales that broadcast against the weight."""
        expanded = self._quant.spec.granularity.expand(scale, tuple(shape))
        return torch.from_numpy(np.array(expanded, dtype=np.float32)).to(self._device)

    def _expanded_tensor(self, values: Tensor) -> Tensor:
        """Return one value per scale so that it broadcasts against the weight; 1 for scales of groups."""
        granularity = self._quant.spec.granularity
        if isinstance(granularity, PerGroup):
            return torch.ones((), device=self._device)
        if isinstance(granularity, PerTensor):
            return values
        shape = [1] * self.latent.ndim
        shape[granularity.axis] = -1
        return values.reshape(shape)


def _rooms(
    codes: NDArray[np.integer], levels: tuple[int, ...], codes_per_step: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return how far below and above its level a weight may lie to be rounded to it, in steps."""
    gaps = np.diff(np.asarray(levels, np.float64))
    ends = np.concatenate([gaps[:1], gaps, gaps[-1:]]) * NEAR / codes_per_step
    place = np.searchsorted(levels, codes)
    return ends[place], ends[place + 1]
