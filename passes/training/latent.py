"""Weights whose codes are learned through a latent value: rounded on the way forward, taken as it is back.

The straight-through estimate of LSQ [arXiv 1902.08153] for codes, within one step of where they start: what
is trained is what will be stored at every iteration, so that a few hundred of them suffice.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from passes.training.rounding import NEAR, START

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from passes.ir.plan import TensorQuant

REACH = 1.49
"""How far from its start a latent value may go: to the next code on either side, and no further."""


class LatentRounding:
    """One weight under training.

    Attributes:
        latent: weight over scale, of the shape of the weight; the parameter to learn.
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
        self._format = quant.spec.format
        scale = quant.spec.granularity.expand(quant.params.scale, values.shape)  # type: ignore[union-attr]
        start = codes.astype(np.float64)
        exact = start + START * np.clip(values.astype(np.float64) / scale - start, -NEAR, NEAR)
        self._scale = torch.from_numpy(np.array(scale, dtype=np.float32)).to(device)
        low = np.maximum(start - REACH, self._format.qmin).astype(np.float32)
        high = np.minimum(start + REACH, self._format.qmax).astype(np.float32)
        self._low, self._high = (torch.from_numpy(bound).to(device) for bound in (low, high))
        self.latent = torch.from_numpy(exact.astype(np.float32)).to(device)

    @property
    def parameter(self) -> Tensor:
        """The latent value."""
        return self.latent

    def learn(self) -> None:
        """Let gradients reach the parameter."""
        self.latent = self.latent.detach().requires_grad_()

    def soft(self) -> Tensor:
        """Return the weight in whole codes, with the gradient of the latent value."""
        inside = torch.clamp(self.latent, self._low, self._high)
        return (inside + (torch.round(inside) - inside).detach()) * self._scale

    def hard(self) -> Tensor:
        """Return the weight in whole codes."""
        return self._codes() * self._scale

    def codes(self) -> NDArray[np.integer]:
        """Return the integers that the present latent values round to, in ONNX layout."""
        found: NDArray[np.integer] = self._codes().cpu().numpy().astype(self._format.dtype)
        return found

    def undecided(self, beta: float) -> Tensor:
        """Return 0: codes are whole at all times."""
        return torch.zeros((), device=self.latent.device)

    def _codes(self) -> Tensor:
        return torch.round(torch.clamp(self.latent, self._low, self._high)).detach()
