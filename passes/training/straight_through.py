"""Quantization with straight-through gradients, in few passes over memory: activations are large.

The gradient of the step is that of LSQ [arXiv 1902.08153, eq. 3]: with q the result and x the input, it is
``(q - x) / s`` inside the range and ``q / s`` outside. Elements may be left as they are at random, as in
QDrop [arXiv 2203.05740, section 3.3]: those have the gradient of the identity.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

PICTURE_RANK = 4
POOL = 1 << 21
"""Random choices that are drawn at a time: each draw of a mask is a stretch of them."""


class Dropping:
    """Which elements stay as they are: one mask per call, shared by the samples of a batch."""

    def __init__(self, share: float, rng: np.random.Generator, device: torch.device) -> None:
        """Draw a pool of choices by numpy, so that every device sees the same.

        Args:
            share: of the elements that stay; 0 for none.
            rng: where choices come from.
            device: of the masks.
        """
        self.share, self._rng, self._device = share, rng, device
        self._pool = self._drawn(POOL) if share > 0 else torch.zeros(0, device=device)

    def mask(self, x: Tensor) -> Tensor | None:
        """Return ones where elements stay and zeros elsewhere, in a shape that broadcasts to that of `x`."""
        if self.share <= 0:
            return None
        shape = x.shape[1:] if x.ndim > 1 else x.shape
        count = int(np.prod(shape))
        if count > POOL:
            return self._drawn(count).reshape(shape)
        start = int(self._rng.integers(0, POOL - count + 1))
        return self._pool[start : start + count].reshape(shape)

    def _drawn(self, count: int) -> Tensor:
        chosen = self._rng.integers(0, 256, count, dtype=np.uint8) < round(self.share * 256)
        return torch.from_numpy(chosen.astype(np.float32)).to(self._device)


class _Quantize(torch.autograd.Function):  # type: ignore[misc,unused-ignore]
    """``clip(round(x / step), low, high) * step``, except where a mask is 1."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, free: Tensor, step: float, limits: tuple[int, int], stay: Tensor | None
    ) -> Tensor:
        """Return the rounded values; `free` only takes the gradient of the logarithm of the step."""
        low, high = limits[0] * step, limits[1] * step
        result, place = torch.div(x, step).round_().clamp_(*limits).mul_(step), x
        if stay is not None:
            # What stays counts as inside the range: backwards there is then one pass, and no mask.
            result, place = torch.lerp(result, x, stay), torch.lerp(x, x.new_tensor((low + high) / 2), stay)
        learned = ctx.needs_input_grad[1]
        ctx.save_for_backward(place, *((x, result) if learned else ()))
        ctx.bounds = (low, high)
        return result

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients of `x` and `free`; in the latter, elements that stay cancel."""
        place, *learned = ctx.saved_tensors
        inside = torch.ops.aten.hardtanh_backward(gradient, place, *ctx.bounds)
        if not learned:
            return inside, None, None, None, None
        x, result = (_flat(it) for it in learned)
        free = torch.dot(_flat(gradient), result) - torch.dot(_flat(inside), x)
        return inside, free, None, None, None


def _flat(x: Tensor) -> Tensor:
    """Return all elements in one order; no copy of pictures whose channels are last in memory."""
    return (x.movedim(1, -1) if x.ndim == PICTURE_RANK else x).reshape(-1)


def quantized(
    x: Tensor, shift: Tensor, step: float, limits: tuple[int, int], stay: Tensor | None = None
) -> Tensor:
    """Return codes times step, half to even as in `passes.numerics.fake_quantize`.

    Args:
        x: activations.
        shift: scalar; takes the gradient of the logarithm of the step.
        step: distance of two codes.
        limits: least and largest code, counted from the zero point.
        stay: 1 for elements that stay as they are, 0 for others; ``None`` for none.
    """
    if not torch.is_grad_enabled():
        return torch.div(x, step).round_().clamp_(*limits).mul_(step)
    result: Tensor = _Quantize.apply(x, shift, step, limits, stay)  # type: ignore[no-untyped-call,unused-ignore]
    return result
