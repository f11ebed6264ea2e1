"""Weights whose rounding is learned: AdaRound [arXiv 2004.10568].

A weight is ``s (floor(w / s) + h(v))`` with the rectified sigmoid ``h(v) = clip(1.2 sigmoid(v) - 0.1, 0, 1)``
for every element; a regularizer ``1 - |2 h - 1| ** beta`` pushes h to 0 or 1 as beta falls.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from passes.ir.plan import TensorQuant

ZETA, GAMMA = 1.1, -0.1
NEAR = 0.49
"""How far from a code a value may lie for rounding to return to that code."""
START = 0.5
"""Latent weights start so much as far from their codes as they are: those at the edge of their step, whose
codes an earlier pass has chosen together, would all fall back at the first gradient otherwise."""


class SoftRounding:
    """One weight under training.

    Attributes:
        logits: v of the paper, of the shape of the weight; the parameter to learn.
    """

    def __init__(
        self,
        values: NDArray[np.float32],
        quant: TensorQuant,
        codes: NDArray[np.integer],
        device: torch.device,
    ) -> None:
        """Start at given codes, so that rounding at once returns them.

        Args:
            values: the float weight, in ONNX layout.
            quant: specification and parameters.
            codes: where to start: the nearest ones, or those that another pass has chosen.
            device: where to keep tensors.
        """
        spec, params = quant.spec, quant.params
        self._format = spec.format
        scale = spec.granularity.expand(params.scale, values.shape)  # type: ignore[union-attr]
        start = codes.astype(np.float64)
        # A value that lies further away than half a step has its choice between the code and its neighbour.
        exact = start + np.clip(values.astype(np.float64) / scale - start, -NEAR, NEAR)
        base = np.floor(exact)
        share = np.clip(exact - base, 0.5 - NEAR, 0.5 + NEAR)
        logits = -np.log((ZETA - GAMMA) / (share - GAMMA) - 1)
        self._scale = torch.from_numpy(np.array(scale, dtype=np.float32)).to(device)
        self._base = torch.from_numpy(base.astype(np.float32)).to(device)
        self.logits = torch.from_numpy(logits.astype(np.float32)).to(device)

    @property
    def parameter(self) -> Tensor:
        """The logits."""
        return self.logits

    def learn(self) -> None:
        """Let gradients reach the parameter."""
        self.logits = self.logits.detach().requires_grad_()

    def soft(self) -> Tensor:
        """Return the weight with rounding in between, differentiable."""
        return self._bounded(self._base + self._share()) * self._scale

    def hard(self) -> Tensor:
        """Return the weight that the present logits round to."""
        return self._codes() * self._scale

    def undecided(self, beta: float) -> Tensor:
        """Return the mean regularizer: 0 when every element is decided, 1 when none is."""
        return (1 - (2 * self._share() - 1).abs().pow(beta)).mean()

    def codes(self) -> NDArray[np.integer]:
        """Return the integers that the present logits round to, in ONNX layout."""
        found: NDArray[np.integer] = self._codes().cpu().numpy().astype(self._format.dtype)
        return found

    def _share(self) -> Tensor:
        return torch.clamp(torch.sigmoid(self.logits) * (ZETA - GAMMA) + GAMMA, 0.0, 1.0)

    def _codes(self) -> Tensor:
        return self._bounded(self._base + (self._share() >= 0.5).to(self._base.dtype)).detach()

    def _bounded(self, steps: Tensor) -> Tensor:
        return torch.clamp(steps, self._format.qmin, self._format.qmax)
