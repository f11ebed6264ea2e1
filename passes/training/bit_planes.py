"""`BitPlanes`: a weight as sums of bits that are trained one by one [BSQ, arXiv 2102.10462, section 3].

The codes of a weight are ``sum over b of (P_b - N_b) 2**b``, with planes P and N of continuous numbers from 0
to 2 for the positive and the negative part, and a scale for each channel. Between two re-quantizations planes
that the loss does not need shrink; the last ones are dropped when they have nearly gone, the first ones when
they are zero.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from passes.errors import DataError, UsageError
from passes.numerics import IntFormat, PerGroup, QuantParams

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from passes.ir.plan import TensorQuant

LARGEST = 2.0
"""Bits are kept within 0 and this, so that two neighbours can take each other's place."""
SIGN = 1
"""Bits of a code beside its planes."""


class BitPlanes:
    """One weight under training.

    Attributes:
        positive: ``P_b 2**b`` in units of codes, least significant first, shape (planes, *weight); parameters
            to learn.
        negative: the same of the negative part.
    """

    positive: Tensor
    negative: Tensor

    def __init__(self, quant: TensorQuant, codes: NDArray[np.integer], device: torch.device) -> None:
        """Start at whole bits.

        Args:
            quant: specification and parameters, with one scale per tensor or channel.
            codes: where to start; the lowest code of the format, which has no counterpart, becomes the next.
            device: where to keep tensors.

        Raises:
            UsageError: scales of groups have two levels, which cannot grow as planes are dropped.
        """
        if isinstance(quant.spec.granularity, PerGroup):
            raise UsageError("bsq: weights with scales of groups are not supported; leave the groups out")
        self._quant, self._device = quant, device
        self._scale: NDArray[np.float32] = np.array(quant.params.scale)  # type: ignore[union-attr]
        self._shape = codes.shape
        limit = quant.spec.format.qmax
        self._set(np.clip(codes.astype(np.int64), -limit, limit), quant.spec.format.bits - SIGN)

    @property
    def planes(self) -> int:
        """Number of planes; 0 for a weight of zeros."""
        return len(self.positive)

    @property
    def bits(self) -> int:
        """Bits of a code: its planes and its sign, 2 at least."""
        return max(self.planes, 1) + SIGN

    @property
    def count(self) -> int:
        """Number of weights."""
        return int(np.prod(self._shape))

    def value(self) -> Tensor:
        """Return the weight in whole codes; gradients pass the rounding as if it were not there."""
        exact, limit = (self.positive - self.negative).sum(dim=0), 2**self.planes - 1
        inside = torch.clamp(exact, -limit, limit)
        return (inside + (torch.round(inside) - inside).detach()) * self._unit()

    def norms(self) -> Tensor:
        """Return the root of the mean square of the bits of each plane, of both parts: shape (planes,)."""
        bits = torch.stack([self.positive.detach(), self.negative.detach()]) / self._powers()
        return bits.square().sum(dim=0).flatten(1).mean(dim=1).sqrt()

    def shrink(self, amount: float) -> None:
        """Take an amount off the norm of the last plane, off others less and less, and clip the rest.

        That is the proximal step of the sum of all norms where, as here, parameters count in codes.
        """
        amounts = amount / self._powers().flatten().square()
        factor = torch.clamp(1 - amounts / self.norms().clamp(min=1e-12), min=0.0)
        with torch.no_grad():
            for part in (self.positive, self.negative):
                part.mul_(factor.reshape(self._powers().shape))
                part.copy_(torch.minimum(part.clamp(min=0.0), LARGEST * self._powers()))

    def requantize(self, tolerance: float) -> int:
        """Round to whole bits and drop planes at either end; return how many are gone.

        Args:
            tolerance: last planes of at most this norm are dropped, as those of zeros are.
        """
        before, kept = self.planes, (self.norms() > tolerance).nonzero().flatten().tolist()
        # A last plane less doubles the scale. First planes go when all codes do without: others would be cut.
        low = kept[0] if kept else before
        limit = 2 ** (before - low) - 1
        codes = np.clip(np.rint(self._codes() / 2**low), -limit, limit).astype(np.int64)
        self._scale = self._scale * np.float32(2.0**low)
        while codes.any() and not (codes & 1).any():
            codes, self._scale = codes >> 1, self._scale * np.float32(2.0)
        self._set(codes, int(np.abs(codes).max(initial=0)).bit_length())
        return before - self.planes

    def state(self) -> dict[str, Tensor]:
        """Return what tells the weight while its bits are whole: codes, int64, and scale, by name."""
        codes = np.rint(self._codes()).astype(np.int64)
        return {"codes": torch.from_numpy(codes), "scale": torch.from_numpy(np.array(self._scale))}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Go back to what `state` returned behind a re-quantization.

        Raises:
            DataError: the codes have more bits than the weight began with, or a scale is not positive.
        """
        codes, scale = state["codes"].numpy(), state["scale"].numpy()
        if np.abs(codes).max(initial=0) > self._quant.spec.format.qmax:
            raise DataError(f"expected codes of at most {self._quant.spec.format.bits} bits")
        if not (np.isfinite(scale) & (scale > 0)).all():
            raise DataError("expected positive scales")
        self._scale = scale
        self._set(codes, int(np.abs(codes).max(initial=0)).bit_length())

    def decision(self, bits: int) -> TensorQuant:
        """Return the quantization with the codes of whole bits.

        Args:
            bits: of the codes, as many as `bits` or more.
        """
        codes = np.rint(self._codes())
        spec = replace(self._quant.spec, format=IntFormat(bits, signed=True))
        params = QuantParams(self._scale, self._quant.params.zero_point)  # type: ignore[union-attr]
        decided = replace(self._quant, spec=spec, params=params, codes=None)
        return decided.with_codes(params, codes.astype(spec.format.dtype))

    def _set(self, codes: NDArray[np.int64], planes: int) -> None:
        powers = (1 << np.arange(planes)).reshape(-1, *[1] * codes.ndim)
        parts = [np.maximum(part, 0)[None] & powers for part in (codes, -codes)]
        self.positive, self.negative = (
            torch.from_numpy(part.astype(np.float32)).to(self._device).requires_grad_() for part in parts
        )

    def _powers(self) -> Tensor:
        powers = 2.0 ** torch.arange(self.planes, device=self._device)
        return powers.reshape(-1, *[1] * len(self._shape))

    def _codes(self) -> NDArray[np.float64]:
        """Return the codes before they are rounded."""
        exact = (self.positive - self.negative).detach().sum(dim=0)
        return np.asarray(exact.cpu().numpy(), dtype=np.float64)

    def _unit(self) -> Tensor:
        expanded = self._quant.spec.granularity.expand(self._scale, self._shape)
        return torch.from_numpy(np.array(expanded, dtype=np.float32)).to(self._device)
