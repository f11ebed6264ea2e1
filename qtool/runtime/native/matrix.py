"""Prepares packed weights for the native matrix product, which dense and grouped convolutions share."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING

import numpy as np

from passes.artifact import WeightLayout
from passes.numerics import pack_gemm
from qtool.runtime.native.codes import MAX_WIDE_BITS, check_storable, stored_max, stored_zero
from qtool.runtime.native.epilogue import prepare_epilogue
from qtool.runtime.native.runs import inner_extent, run_sums
from qtool.runtime.node import Node, reach

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from qtool.runtime.native._kernels import Executor, Gemm


@dataclass(frozen=True, slots=True, eq=False)
class Matrices:
    """Packed matrices (n, k) of a step, one for each group.

    Attributes:
        data: uint8, the packed groups one after the other; a view of the file where that is possible.
        n: output channels of a group.
        k: inner extent.
        groups: number of groups.
        zero: int32 (groups x n,), stored codes of the weights' zero points.
    """

    data: NDArray[np.uint8]
    n: int
    k: int
    groups: int
    zero: NDArray[np.int32]


def prepare_matrix(node: Node, executor: Executor) -> Gemm:
    """Return the matrix product of a step Gemm or Conv, weights with taps before input channels.

    Raises:
        ArtifactError: weights or codes are wider than 8 bits, or sums do not fit int32.
    """
    from qtool.runtime.native._kernels import Gemm

    check_storable(node, most_out=MAX_WIDE_BITS)
    if node.weight.bits > 8:
        node.fail(f"the native kernels take weights of 8 bits or less, found {node.weight.bits}")
    matrices, info = _matrices(node), node.inputs[0]
    channels = matrices.n * matrices.groups
    runs = node.weight.runs
    sums, magnitudes = (
        column_sums(executor, matrices, node.weight.bits)
        if runs is None
        else run_sums(node.weight, runs, matrices.n, matrices.k)
    )
    bias = np.zeros(channels, np.int64) if node.step.bias is None else np.array(node.step.bias, np.int64)
    largest = int(magnitudes.max()) * reach(info) + int(np.abs(bias).max())
    scale = np.float64(info.scale) * np.broadcast_to(node.weight.scale, channels).astype(np.float64)
    layer = Gemm(
        matrices.data,
        node.weight.bits,
        matrices.n,
        matrices.k,
        matrices.groups,
        stored_max(info),
        matrices.zero,
        sums,
        stored_zero(info),
        bias,
        prepare_epilogue(node, scale, largest),
    )
    if runs is not None:
        layer.set_runs(runs.size, inner_extent(node.weight), runs.multiplier.astype(np.int32, order="C"))
    return layer


def _matrices(node: Node) -> Matrices:
    packed = node.weight
    stored = tuple(packed.shape[axis] for axis in packed.layout.order(len(packed.shape)))
    if packed.layout is WeightLayout.DEPTHWISE:
        stored = (stored[-2], *stored[:-2], 1)
    zero = np.broadcast_to(packed.zero_point, stored[0]) - packed.format.qmin
    codes = np.ascontiguousarray(zero, np.int32)
    if packed.layout.tiled:
        return Matrices(packed.data, stored[0], prod(stored[1:]), 1, codes)
    groups = node.step.integer("group")
    each = _ungrouped(node).reshape(groups, stored[0] // groups, -1)
    data = np.concatenate([pack_gemm(matrix, packed.format) for matrix in each])
    return Matrices(data, each.shape[1], each.shape[2], groups, codes)


def _ungrouped(node: Node) -> NDArray[np.integer]:
    """Codes (out, taps, in / group) of weights that are not tiled."""
    codes = node.weight.unpack_stored()
    if node.weight.layout is WeightLayout.GROUPED:
        return codes
    return np.ascontiguousarray(np.moveaxis(codes, -2, 0))


def column_sums(
    executor: Executor, matrices: Matrices, bits: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return sums of weights less their zero points, and of their magnitudes, for each output channel."""
    sums, magnitudes = np.empty((2, matrices.groups, matrices.n), np.int64)
    data, zero = matrices.data.reshape(matrices.groups, -1), matrices.zero.reshape(matrices.groups, -1)
    for group in range(matrices.groups):
        executor.column_sums(
            data[group], bits, matrices.n, matrices.k, zero[group], sums[group], magnitudes[group]
        )
    return sums.reshape(-1), magnitudes.reshape(-1)
