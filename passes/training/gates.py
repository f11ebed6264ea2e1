"""`Gates`: how many bits a quantizer has, learned [DDQ, arXiv 2106.02295, section 3].

The levels of a quantizer of b bits are a vector q, and its result for the nearest level with one-hot index
o is ``q^T (U / Z) o``, where U is the Kronecker product of one matrix for each bit: the identity where the
gate of the bit is open, all ones where it is closed, so that the levels of a block are replaced by their
mean (Z counts them). Here a gate is open only when those of all higher bits are: blocks are then neighbours,
a closed gate is one bit less, and the product never has to be formed.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

START = 0.5
"""Where gates begin; they are open above 0, and kept within the window from -1 to 1, within which the
gradient of the step function counts as 1."""


class Gates:
    """The gates of one quantizer, or of several that share their bits.

    Attributes:
        widths: bits to choose from, ascending: those that the machine tells apart. A gate stands between two
            neighbours.
        free: the gates before the step function, shape (len(widths) - 1,); the parameter to learn.
        place: index of the width in use; the gates below it are open, all others are closed.
        curvature: what squares of gradients count in the harm of closing a gate: half the samples of a batch,
            by which the square of a mean gradient is less than the mean square; 0 for the first order alone.
    """

    def __init__(self, widths: tuple[int, ...], device: torch.device) -> None:
        """Start with all gates open."""
        self.widths, self.place = widths, len(widths) - 1
        self.free = torch.full((len(widths) - 1,), START, device=device)
        self.curvature = 0.0

    @property
    def bits(self) -> int:
        """Bits in use."""
        return self.widths[self.place]

    def learn(self) -> None:
        """Let gradients reach the parameter."""
        self.free = self.free.detach().requires_grad_()

    def settle(self) -> None:
        """Stop training at the width in use."""
        with torch.no_grad():
            self.free.fill_(-START)
            self.free[: self.place] = START
        self.free.requires_grad = False

    def decide(self) -> None:
        """Open and close the gates by the parameter."""
        closed = (self.free.detach() <= 0).nonzero().flatten().tolist()
        self.place = closed[0] if closed else len(self.free)

    def bound(self) -> None:
        """Keep the parameter within its window."""
        with torch.no_grad():
            self.free.clamp_(-1.0, 1.0)

    def around(self) -> tuple[int, ...]:
        """Return the places next to the one in use."""
        near = (self.place - 1, self.place + 1)
        return tuple(place for place in near if 0 <= place < len(self.widths))

    def carry(self, value: Tensor, others: dict[int, Tensor]) -> Tensor:
        """Return a value as it is, from which the gates next to the place in use have gradients.

        Args:
            value: at the width in use, of any shape.
            others: the same at the widths of `around`, by place; their differences to `value` are the
                derivatives of the result by the two gates between, which U has as well. Where a loss is at
                its least, they tell nothing: closing a gate then costs the second order.
        """
        if not (torch.is_grad_enabled() and self.free.requires_grad):
            return value
        found: Tensor = _Carry.apply(value, self.free, self, others)  # type: ignore[no-untyped-call,unused-ignore]
        return found


class _Carry(torch.autograd.Function):  # type: ignore[misc,unused-ignore]
    """The identity, with gradients for gates."""

    @staticmethod
    def forward(ctx: Any, value: Tensor, free: Tensor, used: Gates, others: dict[int, Tensor]) -> Tensor:
        """Return the value; the gate between two places belongs to the lower of them."""
        place = used.place
        gains = [value - it if other < place else it - value for other, it in others.items()]
        ctx.gates, ctx.size = [min(place, other) for other in others], free.shape
        ctx.curvatures = [used.curvature if other < place else 0.0 for other in others]
        ctx.save_for_backward(*gains)
        return value.view_as(value)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradient as it is, and for each gate what the loss gains as it opens.

        That is the product with what the gate adds, less the second order of what closing takes away.
        """
        free = gradient.new_zeros(ctx.size)
        for gate, gain, curvature in zip(ctx.gates, ctx.saved_tensors, ctx.curvatures, strict=True):
            products = gradient * gain
            free[gate] = torch.sum(products) - curvature * torch.sum(torch.square(products))
        return gradient, free, None, None
