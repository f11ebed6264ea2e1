"""`PackedWeight`: the weights of one layer as bit-packed lines, in the order in which kernels read them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum
from math import prod

import numpy as np
from numpy.typing import NDArray

from passes.artifact.points import Points
from passes.artifact.runs import Runs
from passes.artifact.tensor import TENSOR_BITS, check_scales, check_shape
from passes.errors import ArtifactError, UsageError
from passes.numerics import IntFormat, Layout, pack_flat, pack_gemm, packed_size, unpack_flat, unpack_gemm
from passes.numerics.levels import MAX_INDEX_BITS, check_table, index_bits, nearest_index

BYTE_BITS = 8


class WeightLayout(StrEnum):
    """Order of the codes of a weight; "taps" are its kernel axes, of which a matrix has none.

    Attributes:
        OUT_IN: ONNX shape (out, in, taps), tiled as a matrix (out, taps x in): dense Conv, Gemm with transB.
        IN_OUT: ONNX shape (in, out, taps), tiled as a matrix (out, taps x in): ConvTranspose, MatMul, Gemm.
        GROUPED: ONNX shape (first, second, taps) of a grouped layer, stored flat as (first, taps, second).
        DEPTHWISE: ONNX shape (out, 1, taps), stored flat as (taps, out).
    """

    OUT_IN = "out_in"
    IN_OUT = "in_out"
    GROUPED = "grouped"
    DEPTHWISE = "depthwise"

    def order(self, rank: int) -> tuple[int, ...]:
        """Permutation that brings an ONNX weight of this rank into stored order."""
        kernel = tuple(range(2, rank))
        match self:
            case WeightLayout.OUT_IN | WeightLayout.GROUPED:
                return (0, *kernel, 1)
            case WeightLayout.IN_OUT:
                return (1, *kernel, 0)
            case WeightLayout.DEPTHWISE:
                return (*kernel, 0, 1)

    @property
    def tiled(self) -> bool:
        """Whether the codes are tiled as a matrix; flat otherwise."""
        return self in {WeightLayout.OUT_IN, WeightLayout.IN_OUT}


@dataclass(frozen=True, slots=True, eq=False)
class PackedWeight:
    """Weights of one layer: ``real = scale * (code - zero_point)``, times the multiplier of a group if any.

    Where there are levels, what is stored are indices of them, unsigned; codes are the levels, of 8 bits.

    Attributes:
        name: name of the ONNX initializer.
        data: uint8, whole lines of 64 bytes as `pack_gemm` or `pack_flat` makes them.
        layout: order of the codes.
        bits: width of a code, 1 to 8 or 16, or of an index, 1 to 7.
        signed: whether codes are two's complement.
        shape: ONNX shape of the initializer.
        scale: float32, one value or one per output channel.
        zero_point: int64, one value or one per output channel.
        runs: the multipliers of groups of input channels; ``None`` without groups.
        points: where channels are sums of several rows: `shape` then counts rows, `scale` is one value or
            one per channel.
        levels: codes of 8 bits, ascending, which the data are indices of; ``None``: the data are the codes.

    Raises:
        ArtifactError: on construction, when a field is out of its range or `data` has another length.
    """

    name: str
    data: NDArray[np.uint8] = field(repr=False)
    layout: WeightLayout
    bits: int
    signed: bool
    shape: tuple[int, ...]
    scale: NDArray[np.float32] = field(repr=False)
    zero_point: NDArray[np.int64] = field(repr=False)
    runs: Runs | None = None
    points: Points | None = None
    levels: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        """Check every field against its range and the length of the data."""
        where = f"weight {self.name!r}"
        if self.bits not in TENSOR_BITS:
            raise ArtifactError(f"{where}: bits must be 1 to 8 or 16, got {self.bits}")
        check_shape(self.name, self.shape)
        if len(self.shape) < 2 or 0 in self.shape:
            raise ArtifactError(
                f"{where}: expected two or more axes and no empty one, got shape {self.shape}"
            )
        if self.layout is WeightLayout.DEPTHWISE and self.shape[1] != 1:
            raise ArtifactError(f"{where}: a depthwise weight has one input channel, got shape {self.shape}")
        expected = packed_size(*_stored(self.layout, self.shape), self.bits)
        if self.data.shape != (expected,):
            raise ArtifactError(f"{where}: expected {expected} bytes, found {self.data.size}")
        check_scales(where, self.scale)
        lowest, highest = self.format.qmin, self.format.qmax
        if not np.all((self.zero_point >= lowest) & (self.zero_point <= highest)):
            raise ArtifactError(f"{where}: a zero point lies outside {lowest}..{highest}")
        if self.runs is not None:
            self._check_runs(where, self.runs)
        if self.points is not None:
            self._check_points(where, self.points)
        if self.levels is not None:
            self._check_levels(where, self.levels)

    def _check_runs(self, where: str, runs: Runs) -> None:
        if not self.layout.tiled or np.any(self.zero_point) or self.bits > BYTE_BITS:
            raise ArtifactError(
                f"{where}: groups need a weight stored as a matrix, of 8 bits or less, with zero points of 0"
            )
        channels, *taps, inner = (self.shape[axis] for axis in self.layout.order(len(self.shape)))
        runs.check(where, channels, prod(taps), inner)

    def _check_points(self, where: str, points: Points) -> None:
        if self.runs is not None or self.bits > BYTE_BITS or not self.signed:
            raise ArtifactError(f"{where}: points need a signed weight of 8 bits or less without groups")
        if self.zero_point.shape != (1,) or np.any(self.zero_point):
            raise ArtifactError(f"{where}: points need one zero point, 0")
        points.check(where, self.shape[self.row_axis], self.bits)

    def _check_levels(self, where: str, levels: tuple[int, ...]) -> None:
        if self.runs is not None or self.points is not None or not self.signed or np.any(self.zero_point):
            raise ArtifactError(f"{where}: levels need a signed weight with zero points of 0 and no parts")
        if self.bits > MAX_INDEX_BITS or len(levels) > 1 << self.bits:
            raise ArtifactError(f"{where}: {len(levels)} levels for indices of {self.bits} bits")
        try:
            check_table(levels, self.format)
        except UsageError as error:
            raise ArtifactError(f"{where}: {error}") from error

    @property
    def row_axis(self) -> int:
        """ONNX axis of the output channels of a Conv, Gemm or MatMul, or of their rows."""
        return 1 if self.layout is WeightLayout.IN_OUT else 0

    def channels(self, axis: int) -> int:
        """Return the extent of an ONNX axis, the points of a channel counted once."""
        return self.shape[axis] if self.points is None or axis != self.row_axis else len(self.points.counts)

    @property
    def format(self) -> IntFormat:
        """Integer format of the codes."""
        return IntFormat(self.bits, self.signed) if self.levels is None else IntFormat(BYTE_BITS)

    @property
    def nbytes(self) -> int:
        """Bytes of the data, and of the levels."""
        return self.data.nbytes + len(self.levels or ())

    @classmethod
    def pack(
        cls,
        q: NDArray[np.integer],
        *,
        name: str,
        layout: WeightLayout,
        fmt: IntFormat,
        scale: NDArray[np.floating],
        zero_point: NDArray[np.integer],
    ) -> PackedWeight:
        """Pack integer weights.

        Args:
            q: codes in ONNX shape, each inside the range of `fmt`.
            name: name of the ONNX initializer.
            layout: order to store the codes in.
            fmt: integer format; its narrow range, if any, is not stored.
            scale: one value or one per output channel.
            zero_point: one value or one per output channel.
        """
        wide = IntFormat(fmt.bits, fmt.signed)
        stored = np.ascontiguousarray(q.transpose(layout.order(q.ndim)))
        data = (
            pack_gemm(stored.reshape(len(stored), -1), wide)
            if layout.tiled
            else pack_flat(stored.ravel(), wide)
        )
        scales = np.atleast_1d(np.asarray(scale, np.float32))
        zeros = np.atleast_1d(np.asarray(zero_point, np.int64))
        return cls(name, data, layout, fmt.bits, fmt.signed, q.shape, scales, zeros)

    def grouped(self, multiplier: NDArray[np.int64], size: int) -> PackedWeight:
        """Return the same codes with a multiplier for each group of `size` input channels.

        Args:
            multiplier: in ONNX shape, its input channels replaced by their groups.
            size: input channels of a group; the last may have fewer.
        """
        stored = multiplier.transpose(self.layout.order(multiplier.ndim))
        return replace(self, runs=Runs(size, np.ascontiguousarray(stored).reshape(len(stored), -1)))

    @classmethod
    def pack_levels(
        cls,
        q: NDArray[np.integer],
        levels: tuple[int, ...],
        *,
        name: str,
        layout: WeightLayout,
        scale: NDArray[np.floating],
    ) -> PackedWeight:
        """Pack codes that are taken from a table, as indices in as many bits as they need.

        Args:
            q: codes in ONNX shape, each among the levels.
            levels: ascending codes of 8 bits.
            name: name of the ONNX initializer.
            layout: order to store the indices in.
            scale: one value or one per output channel.

        Raises:
            UsageError: a code is not among the levels.
        """
        index, fmt = nearest_index(q, levels), IntFormat(index_bits(len(levels)), signed=False)
        if not np.array_equal(np.asarray(levels)[index], q):
            raise UsageError(f"weight {name!r}: expected codes among the levels {levels!s:.80}, found others")
        zero = np.zeros(1, np.int64)
        packed = cls.pack(index, name=name, layout=layout, fmt=fmt, scale=scale, zero_point=zero)
        return replace(packed, signed=True, levels=levels)

    def decoded(self) -> PackedWeight:
        """Return the same weight without a table, its codes in 8 bits; one without a table as it is.

        Raises:
            ArtifactError: an index lies outside the table.
        """
        if self.levels is None:
            return self
        return PackedWeight.pack(
            self.unpack(),
            name=self.name,
            layout=self.layout,
            fmt=self.format,
            scale=self.scale,
            zero_point=self.zero_point,
        )

    def unpack(self) -> NDArray[np.integer]:
        """Return the codes in ONNX shape, in the smallest integer type that holds them."""
        order = self.layout.order(len(self.shape))
        return self.unpack_stored().transpose(np.argsort(order))

    def unpack_stored(self) -> NDArray[np.integer]:
        """Return the codes in stored order: ONNX shape under the permutation of `layout`.

        Raises:
            ArtifactError: an index lies outside the table.
        """
        shape = tuple(self.shape[axis] for axis in self.layout.order(len(self.shape)))
        fmt = self.format if self.levels is None else IntFormat(self.bits, signed=False)
        if self.layout.tiled:
            codes = unpack_gemm(self.data, fmt, shape[0], prod(shape[1:]))
        else:
            codes = unpack_flat(self.data, fmt, prod(shape))
        if self.levels is not None:
            codes = _looked_up(codes, self.levels, self.name)
        return codes.reshape(shape)


def _looked_up(index: NDArray[np.integer], levels: tuple[int, ...], name: str) -> NDArray[np.integer]:
    if index.size and int(index.max()) >= len(levels):
        raise ArtifactError(f"weight {name!r}: index {index.max()} of {len(levels)} levels; data are damaged")
    return np.asarray(np.asarray(levels, np.int8)[index])


def _stored(layout: WeightLayout, shape: tuple[int, ...]) -> tuple[Layout, tuple[int, ...]]:
    stored = tuple(shape[axis] for axis in layout.order(len(shape)))
    return (Layout.GEMM, (stored[0], prod(stored[1:]))) if layout.tiled else (Layout.FLAT, stored)
