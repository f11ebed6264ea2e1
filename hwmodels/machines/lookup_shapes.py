"""The shape of a layer, by which a table that was measured on other networks is searched."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hwmodels.rules import kind_of

if TYPE_CHECKING:
    from hwmodels.workload import Workload


@dataclass(frozen=True, slots=True)
class Shape:
    """What of one image's layer decides its time; `Workload` says what the sizes mean.

    Attributes:
        op: the operator; a MatMul with stored weights is a Gemm.
        kernel: kernel sizes; empty for Gemm and MatMul.
        out_size: output sizes without batch and channels.
        stride: steps of the kernel, the same along every axis.
        in_ch: input channels over all groups.
        out_ch: output channels over all groups.
        groups: groups of a convolution; 1 otherwise.
    """

    op: str
    kernel: tuple[int, ...]
    out_size: tuple[int, ...]
    stride: int
    in_ch: int
    out_ch: int
    groups: int

    @classmethod
    def of(cls, work: Workload) -> Shape:
        """Return the shape of a layer, whose stride follows from its input and output sizes."""
        kind = kind_of(work)
        inputs = work.in_elements / (work.batch * work.in_channels)
        outputs = math.prod(work.out_spatial)
        ratio = max(inputs / outputs, outputs / inputs)
        stride = round(ratio ** (1 / len(work.out_spatial))) if work.kernel else 1
        op = "Conv" if kind == "depthwise" else kind
        sizes = (max(stride, 1), work.in_channels, work.out_channels, work.groups)
        return cls(op, work.kernel, work.out_spatial, *sizes)

    @property
    def kind(self) -> str:
        """The kind of layer, as `rules.kind_of`; shapes of one kind are interpolated."""
        return "depthwise" if self.op == "Conv" and 1 < self.groups == self.in_ch else self.op

    @property
    def macs(self) -> float:
        """Multiply-accumulates of one image; a transposed convolution starts from its smaller input."""
        shrink = self.stride ** len(self.out_size) if self.op == "ConvTranspose" else 1
        return math.prod((*self.out_size, *self.kernel, self.in_ch, self.out_ch)) / (shrink * self.groups)
