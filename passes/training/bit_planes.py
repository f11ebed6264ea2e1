"""`BitPlanes`: a weight as sums of bits that are trained one by one [BSQ, arXiv 2102.10462, section 3].

The codes of a weight are ``sum over b of (P_b - N_b) 2**b``, rounded, with planes P and N of continuous
numbers from 0 to 2 for the positive and the negative part, and a scale for each channel. Between two
re-quantizations planes that the loss does not need shrink; then the last ones are dropped, and the first ones
when they are zero. What a weight is off its code stays, in the last plane, so that nothing is rounded twice.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from passes.errors import DataError, UsageError
from passes.numerics import IntFormat, PerGroup, QuantParams, short_scale

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from passes.ir.plan import TensorQuant

LARGEST = 2.0
"""Bits are kept within 0 and this, so that two neighbours can take each other's place."""
SIGN = 1
"""Bits of a code beside its planes."""
FINEST = 2.0**-10
"""Codes before rounding are multiples of this, so that planes in float32 hold them exactly."""
FITS = 3
"""How often steps are fitted to codes, and codes rounded to steps, as planes are dropped."""
REACH = 1.4
"""How far, as a factor, a fitted step may be from the one before times a power of two."""


class BitPlanes:
    """One weight under training.

    Attributes:
        positive: ``P_b 2**b`` in units of codes, least significant first, shape (planes, *weight); parameters
            to learn.
        negative: the same of the negative part.
    """

    positive: Tensor
    negative: Tensor

    def __init__(self, quant: TensorQuant, codes: NDArray[Any], device: torch.device) -> None:
        """Start at given codes.

        Args:
            quant: specification and parameters, with one scale per tensor or channel.
            codes: where to start, whole or before they are rounded; the lowest code of the format, which has
                no counterpart, becomes the next.
            device: where to keep tensors.

        Raises:
            UsageError: scales of groups have two levels, which cannot grow as planes are dropped.
        """
        if isinstance(quant.spec.granularity, PerGroup):
            raise UsageError("bsq: weights with scales of groups are not supported; leave the groups out")
        self._quant, self._device = quant, device
        self._scale: NDArray[np.float32] = np.array(quant.params.scale)  # type: ignore[union-attr]
        self._shape = codes.shape
        self.forget()
        limit = quant.spec.format.qmax
        self._set(np.clip(codes.astype(np.float64), -limit, limit), quant.spec.format.bits - SIGN)

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

    def observe(self) -> None:
        """Remember the gradients of this step."""
        if self.planes and self.positive.grad is not None:
            # Those of all planes are the same, that of the weight in steps of its codes.
            self._squares += self.positive.grad[0].square()
            self._seen += 1

    def forget(self) -> None:
        """Begin to observe anew."""
        self._squares, self._seen = torch.zeros(self._shape, device=self._device), 0

    def hold(self) -> float:
        """Return the root of the mean square of the gradients observed, in codes; 0 for none."""
        return float((self._squares.mean() / max(self._seen, 1)).sqrt()) if self.count else 0.0

    def harm(self, count: int) -> float:
        """Return what the loss should suffer without the last planes: squared errors by squared gradients."""
        codes, factors = self._coarser(count)
        error = torch.from_numpy(codes * factors - self._codes()).to(self._device)
        return float((error.square() * self._squares).sum())

    def requantize(self, tolerance: float) -> int:
        """Drop planes at either end; return how many are gone.

        Args:
            tolerance: last planes of at most this norm are dropped, as those of zeros are.
        """
        before, kept = self.planes, (self.norms() > tolerance).nonzero().flatten().tolist()
        self.drop(kept[0] if kept else before)
        return before - self.planes

    def drop(self, count: int) -> None:
        """Take planes away: the last ones, and of those before them the first ones that are zero.

        Args:
            count: of last planes; steps are about ``2**count`` as large then, fitted by least squares.
        """
        exact, limit = self._codes(), 2 ** (self.planes - count) - 1
        codes, factors = self._coarser(count)
        # Gradients are in codes, which are larger now.
        self._squares *= torch.from_numpy(factors.astype(np.float32)).to(self._device).square()
        self._scale = (self._scale * factors.reshape(self._scale.shape)).astype(np.float32)
        exact = np.clip(exact / factors, -limit, limit) if codes.any() else codes
        self._set(exact, int(np.abs(np.rint(exact)).max(initial=0)).bit_length())

    def state(self) -> dict[str, Tensor]:
        """Return what tells the weight after a re-quantization: codes before rounding, and scale, by name."""
        return {"codes": torch.from_numpy(self._codes()), "scale": torch.from_numpy(np.array(self._scale))}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Go back to what `state` returned behind a re-quantization.

        Raises:
            DataError: the codes have more bits than the weight began with, or a scale is not positive.
        """
        codes, scale = state["codes"].numpy(), state["scale"].numpy()
        if not np.abs(codes).max(initial=0) <= self._quant.spec.format.qmax:
            raise DataError(f"expected codes of at most {self._quant.spec.format.bits} bits")
        if not (np.isfinite(scale) & (scale > 0)).all():
            raise DataError("expected positive scales")
        self._scale = scale
        self._set(codes, int(np.abs(np.rint(codes)).max(initial=0)).bit_length())

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

    def _set(self, exact: NDArray[np.float64], planes: int) -> None:
        exact = np.rint(exact / FINEST) * FINEST
        codes = np.rint(exact).astype(np.int64)
        powers = (1 << np.arange(planes)).reshape(-1, *[1] * codes.ndim)
        parts = []
        for sign in (1, -1):
            part = (np.maximum(sign * codes, 0)[None] & powers).astype(np.float32)
            part[:1] += np.maximum(sign * (exact - codes), 0).astype(np.float32)
            parts.append(torch.from_numpy(part).to(self._device).requires_grad_())
        self.positive, self.negative = parts

    def _coarser(self, count: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return codes without the last planes, and their steps in those of now, of shapes that broadcast.

        Steps are fitted to the weights in turn with the codes, and stay short scales.
        """
        exact, limit = self._codes(), 2 ** (self.planes - count) - 1
        granularity, scale = self._quant.spec.granularity, self._scale * np.float32(2.0**count)
        start, codes = scale.astype(np.float64), np.zeros(0)
        for fit in range(FITS + 1 if count else 1):
            if fit:
                above, below = (granularity.blocks(codes * it).sum(axis=1) for it in (exact, codes))
                exactly = np.divide(above, below, out=np.full_like(above, 2.0**count), where=below > 0)
                ratio = np.clip(exactly / 2.0**count, 1 / REACH, REACH).reshape(start.shape)
                scale = short_scale(start * ratio, up=False, places=self._quant.spec.scale_places)
            factors = granularity.expand(scale.astype(np.float64) / self._scale, self._shape)
            codes = np.clip(np.rint(exact / factors), -limit, limit)
        return codes, factors

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
