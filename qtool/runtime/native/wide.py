"""Products with codes of 16 bits, out of products with their bytes.

A code is ``256 h + l``, its zero point likewise, so that a sum over codes less their zero points is 256 times
the sum over ``h`` less its own plus the sum over ``l`` less its own. The kernels sum up bytes in 32 bits,
each part apart; `Combination` weighs the parts, adds the bias and rounds once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

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

Layer = TypeVar("Layer")
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
class Part(Generic[Layer]):
    """A product of bytes with bytes.

    Attributes:
        plane: which plane of the input it takes.
        layer: its weights, with an epilogue that writes sums.
    """

    plane: Plane
    layer: Layer


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


def weighted_parts(node: Node) -> tuple[Combination, list[Part[Gemm]]]:
    """Return the parts of a Gemm or Conv.

    Raises:
        ArtifactError: sums do not fit.
        InputError: scales do not belong together.
    """
    weights = Weights.of(node)
    matrix = _by_channel(node, weights)
    check_parts(node, matrix.shape[1])
    made = combination(node, weights.scale, weights.bias, weights.largest, weight_factors(node))
    return made, parts_of(node, matrix)


def weight_factors(node: Node) -> list[float]:
    """Return what the sums of every part count for, in the order of `parts_of`."""
    return [
        256.0 ** (byte + plane.shift // 8)
        for byte in range(_weight_bytes(node))
        for plane in planes_of(node.inputs[0])
    ]


def parts_of(node: Node, codes: NDArray[np.integer]) -> list[Part[Gemm]]:
    """Return products with every byte of these weights, (channels, k), which are less their zero points."""
    groups = node.step.integer("group") if "group" in node.step.attrs else 1
    return [
        Part(plane, _matrix(stored, zero, groups, plane))
        for stored, zero in _bytes_of(node, codes)
        for plane in planes_of(node.inputs[0])
    ]


def depthwise_parts(node: Node) -> tuple[Combination, list[Part[Depthwise]]]:
    """Return the parts of a convolution with one filter for each channel; raises as `weighted_parts` does."""
    from qtool.runtime.native._kernels import Depthwise

    weights = Weights.of(node)
    matrix = _by_channel(node, weights)
    check_parts(node, matrix.shape[1])
    nothing, sums = np.zeros(weights.channels, np.int64), sums_epilogue(weights.channels)
    parts: list[Part[Depthwise]] = []
    for stored, zero in _bytes_of(node, matrix):
        taps = np.ascontiguousarray((stored - zero[:, None]).T, np.int16)
        layers = (
            Part(plane, Depthwise(taps, plane.zero, nothing, sums)) for plane in planes_of(node.inputs[0])
        )
        parts += layers
    made = combination(node, weights.scale, weights.bias, weights.largest, weight_factors(node))
    return made, parts


def _by_channel(node: Node, weights: Weights) -> NDArray[np.integer]:
    """Return weights less their zero points, (channels, k)."""
    depthwise = node.weight.layout is WeightLayout.DEPTHWISE
    codes = np.moveaxis(weights.codes, -2, 0) if depthwise else weights.codes
    return codes.reshape(weights.channels, -1)


def _weight_bytes(node: Node) -> int:
    return 2 if node.weight.bits > MAX_BITS else 1


def _bytes_of(node: Node, codes: NDArray[np.integer]) -> list[tuple[NDArray[np.uint8], NDArray[np.int32]]]:
    """Return stored codes (channels, k) and zero points for each byte of the weights, the lower one first."""
    packed = node.weight
    zeros = np.broadcast_to(packed.zero_point, len(codes)).astype(np.int32) - packed.format.qmin
    stored = codes.astype(np.int32) + zeros[:, None]
    return [
        ((stored >> shift & 255).astype(np.uint8), zeros >> shift & 255)
        for shift in range(0, 8 * _weight_bytes(node), 8)
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
