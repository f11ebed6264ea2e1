"""What a layer asks of a machine, free of any model format."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

from hwmodels.errors import HardwareError
from hwmodels.geometry import check_geometry
from hwmodels.types import Precision

Op = Literal["Conv", "ConvTranspose", "Gemm", "MatMul", "Recurrent"]
"""The operators that carry the multiplications, under their ONNX names; LSTM, GRU and RNN are Recurrent."""

MULTIPLIED_BITS = 8
"""Widest weights whose groups have multipliers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """One layer as ``groups`` matrix products of ``rows`` x ``depth`` by ``depth`` x ``columns``.

    Attributes:
        name: the layer, as messages call it.
        op: the ONNX operator.
        batch: images, or independent products of a MatMul.
        groups: groups of a convolution; 1 otherwise.
        in_channels: input channels over all groups; the inner size of Gemm and MatMul.
        out_channels: output channels over all groups; the columns of Gemm and MatMul.
        kernel: kernel sizes, one to three of them; empty for Gemm and MatMul.
        out_spatial: output sizes without batch and channels; ``(rows,)`` for Gemm and MatMul.
        in_elements: activation elements read, over the whole batch.
        out_elements: activation elements written, over the whole batch.
        weight_count: stored weights; 0 where the right side is itself computed.
        rhs_elements: elements of a computed right side over the whole batch; 0 where it is stored.
        bias_count: bias values; carried for machines that price them.
        multiplier_count: multipliers of groups of weights, a byte each; weights of over 8 bits have none.
        index_bits: of weights that are stored as indices of tables of levels, and computed with as levels; 0
            for weights that are stored as they are.
        table_bytes: of these tables.
        steps: rounds of which each needs the result of the one before; the rows are spread over them.

    Raises:
        HardwareError: a size is not a positive integer below 2**63, or two sizes contradict each other.
    """

    name: str
    op: Op
    in_channels: int
    out_channels: int
    out_spatial: tuple[int, ...]
    in_elements: int
    out_elements: int
    weight_count: int
    batch: int = 1
    groups: int = 1
    kernel: tuple[int, ...] = ()
    rhs_elements: int = 0
    bias_count: int = 0
    multiplier_count: int = 0
    index_bits: int = 0
    table_bytes: int = 0
    steps: int = 1

    def __post_init__(self) -> None:
        """Check every size, and that they agree."""
        if self.op not in get_args(Op):
            raise HardwareError(f"layer {self.name!r}: op must be one of {get_args(Op)}, found {self.op!r}")
        check_geometry(self)

    @property
    def taps(self) -> int:
        """Positions of the kernel; 1 for Gemm and MatMul."""
        return math.prod(self.kernel)

    @property
    def reduction(self) -> int:
        """The most products that are summed into one output element."""
        return self.in_channels // self.groups * self.taps

    @property
    def rows(self) -> int:
        """Rows of the left matrix over the whole batch: positions where the kernel is applied.

        ONNX ConvTranspose applies it at every input position, the other operators at every output position.
        """
        if self.op == "ConvTranspose":
            return self.in_elements // self.in_channels
        return self.batch * math.prod(self.out_spatial)

    @property
    def columns(self) -> int:
        """Columns of the right matrix of one group."""
        spread = self.taps if self.op == "ConvTranspose" else 1
        return self.out_channels // self.groups * spread

    @property
    def depth(self) -> int:
        """The inner size of one group's product."""
        return self.in_channels // self.groups if self.op == "ConvTranspose" else self.reduction

    @property
    def macs(self) -> int:
        """Multiply-accumulate operations over the whole batch, exact; padding counts as work."""
        return self.groups * self.rows * self.columns * self.depth

    @property
    def depthwise(self) -> bool:
        """Whether every group reads a single channel, so that nothing is summed over channels."""
        return self.groups > 1 and self.groups == self.in_channels

    def bops(self, precision: Precision) -> int:
        """Bit operations: MACs times weight bits times activation bits."""
        return self.macs * precision.weight_bits * precision.act_bits

    def weight_bytes(self, precision: Precision) -> int:
        """Bytes of the weights, packed at the width asked for and padded to a whole byte, and multipliers.

        Of weights with tables, bytes of indices and tables.
        """
        packed = -(-self.weight_count * (self.index_bits or precision.weight_bits) // 8) + self.table_bytes
        return packed + (self.multiplier_count if precision.weight_bits <= MULTIPLIED_BITS else 0)

    @classmethod
    def conv(  # noqa: PLR0913 - a convolution has this many sizes
        cls,
        name: str,
        channels: tuple[int, int],
        kernel: tuple[int, ...],
        out_spatial: tuple[int, ...],
        *,
        stride: int = 1,
        batch: int = 1,
        groups: int = 1,
    ) -> Workload:
        """Describe a convolution with "same" padding, so that the input is ``stride`` times the output.

        Args:
            name: the layer.
            channels: input and output channels over all groups.
            kernel: kernel sizes.
            out_spatial: output sizes.
            stride: the same along every axis.
            batch: images.
            groups: groups of channels.

        Raises:
            HardwareError: a size is not positive, or ``groups`` does not divide the channels.
        """
        inputs, outputs = channels
        return cls(
            name=name,
            op="Conv",
            batch=batch,
            groups=groups,
            in_channels=inputs,
            out_channels=outputs,
            kernel=kernel,
            out_spatial=out_spatial,
            in_elements=batch * inputs * math.prod(size * stride for size in out_spatial),
            out_elements=batch * outputs * math.prod(out_spatial),
            weight_count=inputs * outputs * math.prod(kernel) // max(groups, 1),
        )

    @classmethod
    def conv_transpose(
        cls,
        name: str,
        channels: tuple[int, int],
        kernel: tuple[int, ...],
        in_spatial: tuple[int, ...],
        *,
        stride: int,
    ) -> Workload:
        """Describe a transposed convolution of one image whose output is ``stride`` times its input.

        Raises:
            HardwareError: a size is not positive.
        """
        inputs, outputs = channels
        out_spatial = tuple(size * stride for size in in_spatial)
        return cls(
            name=name,
            op="ConvTranspose",
            in_channels=inputs,
            out_channels=outputs,
            kernel=kernel,
            out_spatial=out_spatial,
            in_elements=inputs * math.prod(in_spatial),
            out_elements=outputs * math.prod(out_spatial),
            weight_count=inputs * outputs * math.prod(kernel),
        )

    @classmethod
    def gemm(cls, name: str, rows: int, inner: int, columns: int) -> Workload:
        """Describe ``rows`` x ``inner`` by stored weights ``inner`` x ``columns``.

        Raises:
            HardwareError: a size is not positive.
        """
        return cls(
            name=name,
            op="Gemm",
            in_channels=inner,
            out_channels=columns,
            out_spatial=(rows,),
            in_elements=rows * inner,
            out_elements=rows * columns,
            weight_count=inner * columns,
        )

    @classmethod
    def recurrent(
        cls, name: str, sizes: tuple[int, int], *, gates: int, steps: int, batch: int = 1
    ) -> Workload:
        """Describe the gates of a recurrent layer over a whole sequence (ONNX LSTM: 4, GRU: 3, RNN: 1 gates).

        Args:
            name: the layer.
            sizes: inputs and hidden state.
            gates: matrix products per step, all of (inputs + hidden) x hidden weights.
            steps: length of the sequence.
            batch: sequences.

        Raises:
            HardwareError: a size is not positive.
        """
        inputs, hidden = sizes
        return cls(
            name=name,
            op="Recurrent",
            batch=batch,
            in_channels=inputs + hidden,
            out_channels=gates * hidden,
            out_spatial=(steps,),
            in_elements=batch * steps * (inputs + hidden),
            out_elements=batch * steps * hidden,
            weight_count=(inputs + hidden) * gates * hidden,
            steps=steps,
        )

    @classmethod
    def matmul(cls, name: str, batch: int, rows: int, inner: int, columns: int) -> Workload:
        """Describe ``batch`` products of two computed matrices, as inside attention.

        Raises:
            HardwareError: a size is not positive.
        """
        return cls(
            name=name,
            op="MatMul",
            batch=batch,
            in_channels=inner,
            out_channels=columns,
            out_spatial=(rows,),
            in_elements=batch * rows * inner,
            out_elements=batch * rows * columns,
            weight_count=0,
            rhs_elements=batch * inner * columns,
        )
