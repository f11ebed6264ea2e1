"""Matrix weights of a model of any size as blocks of MatMulNBits, read and written a piece at a time.

The scales come from the weights alone, as activations stay in floating point. Of a weight only its codes and
scales are in memory as a whole: an eighth of the layer at 4 bits, and what is read of it at a time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from passes.lowering.nbits import Blocks, packed_codes
from passes.numerics import (
    IntFormat,
    PerGroup,
    QuantSpec,
    RangeMethod,
    params_from_range,
    quantize,
    weight_range,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from passes.ir.stored_tensor import StoredTensor

READ_ELEMENTS = 1 << 22
"""Weights that are read at a time, about."""


@dataclass(frozen=True, slots=True)
class BlockFormat:
    """How weights are stored.

    Attributes:
        bits: of a code: 2, 4 or 8.
        size: input channels that share a scale.
        method: how their range is chosen: MINMAX or MSE.
    """

    bits: int
    size: int
    method: RangeMethod = RangeMethod.MINMAX


def streamed_blocks(stored: StoredTensor, fmt: BlockFormat, *, transposed: bool) -> Blocks:
    """Return a weight in blocks.

    Args:
        stored: a matrix of floating point, shape (inputs, outputs).
        fmt: of the result.
        transposed: its shape is (outputs, inputs) instead, as Gemm has it with ``transB``.

    Raises:
        ModelError: its bytes do not fill its shape.
        DataError: a weight is NaN or infinite.
    """
    depth, channels = stored.shape[::-1] if transposed else stored.shape
    blocks = -(-depth // fmt.size)
    codes = np.empty((channels, blocks, fmt.size * fmt.bits // 8), np.uint8)
    scale = np.empty((channels, blocks), stored.dtype)
    at = 0
    for rows in stored.rows(_rows_at_a_time(stored.shape[1], fmt.size)):
        matrix = rows if transposed else rows.T
        found, scales = _quantized(matrix.astype(np.float32), fmt)
        place = (slice(at, at + len(found)), slice(None)) if transposed else (slice(None), _span(at, found))
        codes[place], scale[place] = found, scales
        at += len(found) if transposed else found.shape[1]
    return Blocks(codes, scale, None, depth, fmt.size, fmt.bits)


def _span(start: int, found: NDArray[np.uint8]) -> slice:
    return slice(start, start + found.shape[1])


def _rows_at_a_time(width: int, size: int) -> int:
    """Return a number of rows, in whole groups: where inputs are rows, a group is read at once."""
    return max(1, READ_ELEMENTS // max(width, 1) // size) * size


def _quantized(
    matrix: NDArray[np.float32], fmt: BlockFormat
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Return packed codes (outputs, blocks, bytes) and scales (outputs, blocks) of some inputs."""
    padded = np.pad(matrix, ((0, 0), (0, -matrix.shape[1] % fmt.size)))
    spec = QuantSpec(IntFormat(fmt.bits, signed=True), PerGroup(1, fmt.size), symmetric=True)
    params = params_from_range(*weight_range(padded, spec, fmt.method), spec)
    codes = quantize(padded, spec, params).astype(np.int16) + (1 << fmt.bits - 1)
    blocks = codes.reshape(len(codes), -1, fmt.size)
    return packed_codes(blocks, fmt.bits), params.scale.reshape(len(codes), -1)
