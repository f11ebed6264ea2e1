"""Levels that are trained together with the weights that take them: DDQ [arXiv 2106.02295, section 3].

The levels of a quantizer of b bits are free numbers. A weight takes the nearest; a level has the true
gradient, the sum of those of the weights that take it, and the weights have theirs straight through. What
is used are the nearest distinct codes of 8 bits.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from passes.numerics.levels import distinct_levels

if TYPE_CHECKING:
    from collections.abc import Sequence

    from passes.numerics import IntFormat


class LevelTable:
    """The levels of one weight under training, for any number of them that divides that of its entries.

    Attributes:
        change: what training adds to the levels, in `unit` codes, of shape (entries,). Of fewer levels each
            has a block of neighbours and moves by their mean, which is the product with U / Z of the paper.
    """

    def __init__(
        self, entries: int, unit: float, fmt: IntFormat, device: torch.device, correction: float = 0.0
    ) -> None:
        """Start without a change.

        Args:
            entries: the most levels.
            unit: codes that a change of 1 stands for.
            fmt: of codes.
            device: where to keep tensors.
            correction: how long the gradient of the squared error of the weights is, over that of the loss,
                as it is added to the latter.
        """
        self.change = torch.zeros(entries, device=device, requires_grad=True)
        self._unit, self._format, self._correction = unit, fmt, correction

    def levels(self, start: Sequence[int]) -> tuple[int, ...]:
        """Return the levels in use, ascending, where they started at some others."""
        return tuple(int(level) for level in self._whole(self._free(start)))

    def chosen(self, steps: Tensor, start: Sequence[int], unit: Tensor) -> Tensor:
        """Return the levels that weights take, differentiable by weights and levels.

        Args:
            steps: the weights, in codes.
            start: where the levels started, as many as are in use.
            unit: value of a code, broadcasting to the weights.
        """
        free = self._free(start)
        whole = torch.from_numpy(self._whole(free).astype(np.float32)).to(free.device)
        inside = torch.clamp(steps, whole[0].item(), whole[-1].item())
        place = torch.searchsorted((whole[1:] + whole[:-1]) / 2, steps.detach().contiguous())
        error = (whole[place] - steps.detach()) * unit.detach() ** 2
        used = free + (whole - free).detach()
        taken: Tensor = _Take.apply(used, place, error, self._correction)  # type: ignore[no-untyped-call,unused-ignore]
        return taken + (inside - inside.detach())

    def _free(self, start: Sequence[int]) -> Tensor:
        """Return the levels before they are rounded."""
        begin = torch.tensor(start, dtype=torch.float32, device=self.change.device)
        moved = begin + self._unit * self.change.reshape(len(start), -1).mean(1)
        return torch.sort(moved).values

    def _whole(self, free: Tensor) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
        return distinct_levels(free.detach().cpu().numpy().astype(np.float64), self._format)


class _Take(torch.autograd.Function):  # type: ignore[misc,unused-ignore]
    """``levels[place]``."""

    @staticmethod
    def forward(ctx: Any, levels: Tensor, place: Tensor, error: Tensor, correction: float) -> Tensor:
        """Return the level of each weight; the error only adds to the gradient."""
        ctx.save_for_backward(place, error)
        ctx.count, ctx.correction = len(levels), correction
        return levels[place]

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """Return the sums of the gradients of the weights that take each level, and the correction."""
        place, error = ctx.saved_tensors
        found = _summed(gradient, place, ctx.count)
        if ctx.correction:
            further = _summed(error, place, ctx.count)
            length = torch.linalg.vector_norm(further)
            share = ctx.correction * torch.linalg.vector_norm(found) / length.clamp(min=1e-30)
            found = found + share * further
        return found, None, None, None


def _summed(values: Tensor, place: Tensor, count: int) -> Tensor:
    return torch.bincount(place.reshape(-1), values.reshape(-1), count).to(values.dtype)
