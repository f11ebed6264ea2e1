"""What is measured: layers and operators without products, each with what it asks of a machine."""

from __future__ import annotations

from dataclasses import dataclass

from hwmodels import Elementwise, Precision, Workload


@dataclass(frozen=True, slots=True)
class ConvShape:
    """A convolution of one square image with "same" padding; the input is ``stride`` times the output."""

    in_channels: int
    out_channels: int
    kernel: int
    stride: int
    size: int
    groups: int = 1

    @property
    def work(self) -> Workload:
        """The work of the layer."""
        return Workload.conv(
            "convolution",
            (self.in_channels, self.out_channels),
            (self.kernel, self.kernel),
            (self.size, self.size),
            stride=self.stride,
            groups=self.groups,
        )


@dataclass(frozen=True, slots=True)
class GemmShape:
    """A matrix by stored weights."""

    rows: int
    inner: int
    columns: int

    @property
    def work(self) -> Workload:
        """The work of the layer."""
        return Workload.gemm("stored weights", self.rows, self.inner, self.columns)


@dataclass(frozen=True, slots=True)
class ProductShape:
    """Products of two computed matrices, as inside attention."""

    batch: int
    rows: int
    inner: int
    columns: int

    @property
    def work(self) -> Workload:
        """The work of the layer."""
        return Workload.matmul("computed operands", self.batch, self.rows, self.inner, self.columns)


@dataclass(frozen=True, slots=True)
class OperatorShape:
    """An operator without products on one square image of ``channels``; for a conversion, its direction.

    ``op`` is an ONNX operator; QuantizeLinear and DequantizeLinear are the two conversions.
    """

    op: str
    channels: int
    size: int

    @property
    def operands(self) -> int:
        """Tensors that it reads."""
        return 2 if self.op in ("Add", "Concat") else 1

    @property
    def work(self) -> Elementwise:
        """The work; pooling is over 2 x 2 elements, or over the whole image."""
        elements = self.channels * self.size**2
        read = self.operands * elements
        written = {
            "Concat": read,
            "MaxPool": self.channels * (self.size // 2) ** 2,
            "AveragePool": self.channels * (self.size // 2) ** 2,
            "GlobalAveragePool": self.channels,
        }
        return Elementwise(self.op, self.op, read, written.get(self.op, elements))


Shape = ConvShape | GemmShape | ProductShape | OperatorShape


@dataclass(frozen=True, slots=True)
class Point:
    """One measurement: a shape at a precision; operators have the same bits on both sides."""

    shape: Shape
    precision: Precision

    @property
    def key(self) -> str:
        """A text that tells this point from all others."""
        return f"{self.shape} {self.precision}"
