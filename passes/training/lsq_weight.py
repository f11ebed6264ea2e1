"""Weights that are trained together with their scales: Learned Step Size Quantization [arXiv 1902.08153].

With w the float weight, s its step and v = w / s, used is ``s * round(clip(v, qmin, qmax))``. Gradients pass
the rounding as if it were not there, so that the derivative by log s is ``s * (round(v) - v)`` inside
the range and ``s * qmin`` or ``s * qmax`` outside [eq. 3, times s]. Steps in use are short scales.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from passes.numerics import PerGroup, PerTensor, QuantParams, short_scale
from passes.training.rounding import NEAR, START

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from passes.ir.plan import TensorQuant

LARGEST_CHANGE = 4.0
"""Factor by which a step may grow or shrink."""


class LsqWeight:
    """One weight under training.

    Attributes:
        latent: the float weight over the step to start with, of the shape of the weight.
        shift: logarithm of the step over the step to start with, of the shape of the scale. Scales of groups
            of channels have two levels, and keep their steps.
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
        self._unit = self._expanded(self._start, values.shape)
        start = codes.astype(np.float64)
        near = np.clip(values / self._unit.cpu().numpy() - start, -NEAR, NEAR)
        lowest = np.log(np.clip(least / self._start, 1 / LARGEST_CHANGE, 1.0))
        self._lowest = torch.from_numpy(np.asarray(lowest, dtype=np.float32)).to(device)
        self.latent = torch.from_numpy((start + START * near).astype(np.float32)).to(device).requires_grad_()
        grouped = isinstance(quant.spec.granularity, PerGroup)
        self.shift = torch.zeros(self._start.shape, device=device).requires_grad_(not grouped)

    def parameters(self) -> dict[str, Tensor]:
        """Return what is learned, by name."""
        return {"latent": self.latent} | ({"shift": self.shift} if self.shift.requires_grad else {})

    def value(self) -> Tensor:
        """Return the weight in whole codes, differentiable."""
        shift = self._shift()
        # This factor is 1: it carries the gradient of the logarithm of the step.
        factor = self._expanded_tensor(torch.exp(shift - shift.detach()))
        step = self._expanded(self.scale(), self.latent.shape) * factor
        steps = self._steps(step)
        return (steps + (torch.round(steps) - steps).detach()) * step

    def codes(self) -> NDArray[np.integer]:
        """Return the codes, in ONNX layout."""
        with torch.no_grad():
            codes = torch.round(self._steps(self._expanded(self.scale(), self.latent.shape)))
        found: NDArray[np.integer] = codes.cpu().numpy().astype(self._quant.spec.format.dtype)
        return found

    def scale(self) -> NDArray[np.float32]:
        """Return the steps in use, of the shape of the scale: short scales nearest to what was learned."""
        if not self.shift.requires_grad:
            return self._start
        wanted = self._start * np.exp(self._shift().detach().cpu().numpy())
        return short_scale(wanted, up=False, places=self._quant.spec.scale_places)

    def decision(self) -> TensorQuant:
        """Return the quantization with the present steps and codes."""
        params = QuantParams(self.scale(), self._quant.params.zero_point)  # type: ignore[union-attr]
        return self._quant.with_codes(params, self.codes())

    def _shift(self) -> Tensor:
        return torch.clamp(torch.maximum(self.shift, self._lowest), max=math.log(LARGEST_CHANGE))

    def _steps(self, step: Tensor) -> Tensor:
        """Return the weight over its step, clipped to the range of the format."""
        limits = self._quant.spec.format.qmin, self._quant.spec.format.qmax
        return torch.clamp(self.latent * (self._unit / step), *limits)

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
