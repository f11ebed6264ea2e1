"""The sample network: small, but with the shapes of block that decide how a compiler behaves."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

Activation = Literal["relu", "relu6", "none"]

_ACTIVATIONS: dict[Activation, type[nn.Module]] = {"relu": nn.ReLU, "relu6": nn.ReLU6, "none": nn.Identity}


class ConvBlock(nn.Module):
    """Convolution without bias, batch normalization and an activation; keeps the height and width."""

    def __init__(
        self, in_ch: int, out_ch: int, kernel: int, *, groups: int = 1, activation: Activation = "relu"
    ) -> None:
        """Build the block for an odd ``kernel``, with padding ``kernel // 2``."""
        super().__init__()
        self.conv = nn.Conv2d(in_ch, out_ch, kernel, padding=kernel // 2, groups=groups, bias=False)
        self.norm = nn.BatchNorm2d(out_ch)
        self.activation: Activation = activation
        self.act = _ACTIVATIONS[activation]()

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, in_ch, H, W) to (N, out_ch, H, W)."""
        return self.act(self.norm(self.conv(x)))


class DigitsNet(nn.Module):
    """Classifies 8x8 grey images of digits; about 60 thousand parameters."""

    def __init__(self) -> None:
        """Build the layers with the initial weights of torch's global generator."""
        super().__init__()
        self.stem = ConvBlock(1, 24, 3)
        self.depthwise = ConvBlock(24, 24, 3, groups=24, activation="relu6")
        self.pointwise = ConvBlock(24, 48, 1, activation="relu6")
        self.residual_in = ConvBlock(48, 48, 3)
        self.residual_out = ConvBlock(48, 48, 3, activation="none")
        self.branch_narrow = ConvBlock(48, 32, 1)
        self.branch_wide = ConvBlock(48, 32, 3)
        self.classifier = nn.Linear(64, 10)

    def forward(self, image: Tensor) -> Tensor:
        """Map images (N, 1, 8, 8) in 0..1 to logits (N, 10)."""
        x = self.pointwise(self.depthwise(self.stem(image)))
        x = torch.relu(x + self.residual_out(self.residual_in(x)))
        x = torch.max_pool2d(x, 2)
        x = torch.cat([self.branch_narrow(x), self.branch_wide(x)], dim=1)
        return self.classifier(x.mean(dim=(2, 3)))
