"""Activations whose step is learned.

The gradient of the step is that of LSQ [arXiv 1902.08153], on the logarithm of the step; what is used is the
nearest short scale, and gradients pass as if it were the step itself.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

from passes.numerics import QuantParams, short_scale
from passes.training.straight_through import quantized

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from passes.ir.plan import TensorQuant

LARGEST_CHANGE = 1.5
"""Factor by which a step may grow or shrink, if nothing else is said; scales leave room for biases."""


class StepQuantizer:
    """The quantizer of a group of activations.

    Attributes:
        shift: logarithm of the step over the step to start with; the parameter to learn.
        reach: factor by which the step may grow or shrink.
    """

    def __init__(self, quant: TensorQuant, device: torch.device) -> None:
        """Start at the parameters of the plan."""
        self.begin_at(quant)
        self.shift = torch.zeros((), device=device)
        self.reach = LARGEST_CHANGE

    def begin_at(self, quant: TensorQuant) -> None:
        """Take other limits, zero point and start of the step; what was learned of the step stays."""
        params, self._quant = quant.params, quant
        self._start = float(params.scale)  # type: ignore[union-attr]
        zero = int(params.zero_point)  # type: ignore[union-attr]
        self._low, self._high = quant.spec.format.qmin - zero, quant.spec.format.qmax - zero

    def __call__(self, x: Tensor, stay: Tensor | None = None) -> Tensor:
        """Return codes times step, half to even as in `passes.numerics.fake_quantize`.

        Args:
            x: activations.
            stay: 1 for elements that are left as they are, 0 for others; ``None`` for none.
        """
        return quantized(x, self.shift, self.step(), (self._low, self._high), stay)

    def step(self) -> float:
        """Return the step in use: the short scale nearest to what was learned."""
        return float(self._short())

    def learn(self) -> None:
        """Let gradients reach the parameter."""
        self.shift = self.shift.detach().requires_grad_()

    def decision(self) -> TensorQuant:
        """Return the quantization with the present step."""
        zero = self._quant.params.zero_point  # type: ignore[union-attr]
        return self._quant.with_params(QuantParams(self._short(), zero))

    def settle(self) -> None:
        """Stop training."""
        self.shift = self.shift.detach()

    def _short(self) -> NDArray[np.float32]:
        limit = math.log(self.reach)
        wanted = self._start * math.exp(min(max(float(self.shift.detach()), -limit), limit))
        return short_scale(wanted, up=False, places=self._quant.spec.scale_places)
