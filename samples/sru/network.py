"""A bidirectional simple recurrent network, built as MOHAQ's: SRU layers with projections between them."""

from __future__ import annotations

import torch
from torch import Tensor, nn

PARTS = 3
"""Of the product of an SRU layer, for each direction: candidate, forget gate, reset gate."""


class SruLayer(nn.Module):
    """Both directions of a simple recurrent unit without highway (Lei et al., arXiv 1709.02755, section 2).

    For every frame, with one product of matrices for all frames and element-wise steps after it::

        f = sigmoid(W_f x + v_f * c + b_f)      c' = u + f * (c - u),  u = W x + b
        r = sigmoid(W_r x + v_r * c + b_r)      h = r * c'
    """

    def __init__(self, inputs: int, hidden: int) -> None:
        """Build the layer with the initial weights of torch's global generator."""
        super().__init__()
        self.hidden = hidden
        self.product = nn.Linear(inputs, 2 * PARTS * hidden)
        self.recurrent = nn.Parameter(torch.empty(2, 2, hidden).uniform_(-0.5, 0.5))
        nn.init.zeros_(self.product.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, T, inputs) to (N, T, 2 * hidden): forward states before backward ones."""
        forward, backward = self.product(x).chunk(2, dim=2)
        ahead = self._direction(forward, self.recurrent[0])
        back = self._direction(backward.flip(1), self.recurrent[1]).flip(1)
        return torch.cat([ahead, back], dim=2)

    def _direction(self, product: Tensor, recurrent: Tensor) -> Tensor:
        cell = product.new_zeros(product.shape[0], self.hidden)
        states = []
        for step in product.unbind(1):
            candidate, forget, reset = step.chunk(PARTS, dim=1)
            kept = torch.sigmoid(forget + recurrent[0] * cell)
            shown = torch.sigmoid(reset + recurrent[1] * cell)
            cell = candidate + kept * (cell - candidate)
            states.append(shown * cell)
        return torch.stack(states, dim=1)


class SruNet(nn.Module):
    """Classifies sequences of frames; the mean over time of the last states decides."""

    def __init__(self, bands: int, classes: int, *, hidden: int = 32, projection: int = 32) -> None:
        """Build three SRU layers, with a projection before the second and the third."""
        super().__init__()
        self.layers = nn.ModuleList(SruLayer(size, hidden) for size in (bands, projection, projection))
        self.projections = nn.ModuleList(nn.Linear(2 * hidden, projection) for _ in range(2))
        self.classifier = nn.Linear(2 * hidden, classes)

    def forward(self, frames: Tensor) -> Tensor:
        """Map frames (N, T, bands) to logits (N, classes)."""
        x = self.layers[0](frames)
        for projection, layer in zip(self.projections, self.layers[1:], strict=True):
            x = layer(projection(x))
        return self.classifier(x.mean(dim=1))
