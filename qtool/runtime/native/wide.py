"""Products with codes of 16 bits, out of products with their bytes.

A code is ``256 h + l``, its zero point likewise, so that a sum over codes less their zero points is 256 times
the sum over ``h`` less its own plus the sum over ``l`` less its own. The kernels sum up bytes in 32 bits, each
part apart; `Combination` weighs the parts, adds the bias and rounds once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from passes.artifact import WeightLayout
from passes.numerics import IntFormat, pack_gemm
from qtool.runtime.native.codes import MAX_BITS, code_bytes, stored_max, stored_zero
from qtool.runtime.native.epilogue import ACC_BITS, WIDE_BITS, prepare_epilogue
from qtool.runtime.weights import Weights

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from passes.artifact import TensorInfo
    from qtool.runtime.native._kernels import Combination, Depthwise, Epilogue, Gemm
    from qtool.runtime.node import Node

_BYTE = IntFormat(MAX_BITS, signed=False)
_BYTE_REACH = 255


@dataclass(frozen=True, slots=True)
class Plane:
    """One byte of the codes of a tensor.

    Attributes:
        shift: of the byte in a code: 8 or 0.
        zero: byte of the stored zero point.
        greatest: greatest byte.
    """

    shift: int
    zero: int
    greatest: int


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """A product of bytes with bytes.

    Attributes:
        weight: what its sums count for.
        plane: which plane of the input it takes.
        layer: its weights, with an epilogue that writes sums.
    """

    weight: float
    plane: Plane
    layer: Gemm | Depthwise


def is_wide(node: Node) -> bool:
    """Whether a step with weights has operands of more than 8 bits."""
    return code_bytes(node.inputs[0]) > 1 or node.weight.bits > MAX_BITS


def planes_of(info: TensorInfo) -> tuple[Plane, ...]:
    """Return the bytes of stored codes, the higher one first."""
    zero, greatest = stored_zero(info), stored_max(info)
    if code_bytes(info) == 1:
        return (Plane(0, zero, greatest),)
    return Plane(8, zero >> 8, greatest >> 8), Plane(0, zero & 255, 255)


def sums_epilogue(channels: int) -> Epilogue:
    """Return the epilogue that writes sums as they are."""
    from qtool.runtime.native._kernels import Epilogue

    ones, zeros = np.ones(channels), np.zeros(channels, np.int32)
    return Epilogue("sum", "half_even", ones, ones, zeros, zeros, 0, 0, 255, 0, 1)


def check_parts(node: Node, depth: int) -> None:
    """Raise `ArtifactError` unless a sum of so many products of bytes fits 32 bits."""
    if (depth * _BYTE_REACH**2).bit_length() >= ACC_BITS:
        node.fail(f"{depth} products of bytes do not fit {ACC_BITS} bits; the reference engine runs it")


def combination(
    node: Node, scale: NDArray[np.float64], bias: NDArray[np.int64], largest: int, weights: Sequence[float]
) -> Combination:
    """Return what makes outputs of the sums of the parts; raises as `prepare_epilogue` does."""
    from qtool.runtime.native._kernels import Combination

    epilogue = prepare_epilogue(node, scale, largest, bits=WIDE_BITS)
    return Combination(np.array(weights, np.float64), np.array(bias, np.int64), epilogue)


def weighted_parts(node: Node) -> tuple[Combination, list[Part]]:
    """Return the parts of a Gemm or Conv, with one matrix for each byte of its weights.

    Raises:
        ArtifactError: sums do not fit.
        InputError: scales do not belong together.
    """
    weights, groups = Weights.of(node), node.step.integer("group") if "group" in node.step.attrs else 1
    parts = [
        Part(256.0 ** (byte + plane.shift // 8), plane, _matrix(codes, zero, groups, plane))
        for byte, codes, zero in _weight_bytes(node, weights.channels)
        for plane in planes_of(node.inputs[0])
    ]
    check_parts(node, weights.codes.size // weights.channels)
    factors = [part.weight for part in parts]
    return combination(node, weights.scale, weights.bias, weights.largest, factors), parts


def depthwise_parts(node: Node) -> tuple[Combination, list[Part]]:
    """Return the parts of a convolution with one filter for each channel; raises as `weighted_parts` does."""
    from qtool.runtime.native._kernels import Depthwise

    weights = Weights.of(node)
    check_parts(node, weights.codes.size // weights.channels)
    nothing, sums = np.zeros(weights.channels, np.int64), sums_epilogue(weights.channels)
    parts = []
    for byte, codes, zero in _weight_bytes(node, weights.channels):
        taps = np.ascontiguousarray((codes.astype(np.int16) - zero[:, None].astype(np.int16)).T)
        parts += [
            Part(256.0 ** (byte + plane.shift // 8), plane, Depthwise(taps, plane.zero, nothing, sums))
            for plane in planes_of(node.inputs[0])
        ]
    factors = [part.weight for part in parts]
    return combination(node, weights.scale, weights.bias, weights.largest, factors), parts


def _weight_bytes(node: Node, channels: int) -> list[tuple[int, NDArray[np.uint8], NDArray[np.int32]]]:
    """Return, for each byte of the weights, its index, stored codes (channels, k) and zero points."""
    packed = node.weight
    codes = packed.unpack_stored()
    if packed.layout is WeightLayout.DEPTHWISE:
        codes = np.moveaxis(codes, -2, 0)
    stored = codes.reshape(channels, -1).astype(np.int32) - packed.format.qmin
    zeros = np.broadcast_to(packed.zero_point, channels).astype(np.int32) - packed.format.qmin
    return [
        (byte, (stored >> 8 * byte & 255).astype(np.uint8), zeros >> 8 * byte & 255)
        for byte in range(2 if packed.bits > MAX_BITS else 1)
    ]


def _matrix(codes: NDArray[np.uint8], zero: NDArray[np.int32], groups: int, plane: Plane) -> Gemm:
    from qtool.runtime.native._kernels import Gemm

    channels, depth = codes.shape
    each = codes.reshape(groups, -1, depth)
    data = np.concatenate([pack_gemm(matrix, _BYTE) for matrix in each])
    sums = codes.sum(1, dtype=np.int64) - depth * zero.astype(np.int64)
    nothing = np.zeros(channels, np.int64)
    return Gemm(
        data,
        MAX_BITS,
        channels // groups,
        depth,
        groups,
        plane.greatest,
        np.ascontiguousarray(zero),
        sums,
        plane.zero,
        nothing,
        sums_epilogue(channels),
    )
