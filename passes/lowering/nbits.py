"""Weights of matrix products in blocks, as com.microsoft MatMulNBits (version 1) of ONNX Runtime.

``Y = A dequantize(B)^T``, where B holds, for each output channel and each block of ``block_size`` input
channels, unsigned codes of 2, 4 or 8 bits, the first in the lowest bits of a byte; there is a scale for each
channel and block, and a zero point, ``2**(bits - 1)`` where none is given. ``accuracy_level`` 1 multiplies
floats; with 4, ONNX Runtime rounds every block of the activation to 8 bits: faster, and no part of the plan.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from onnx import helper, numpy_helper

from passes.ir.weights import quantized_weight
from passes.lowering.made_names import made
from passes.numerics import PerGroup

if TYPE_CHECKING:
    import onnx
    from numpy.typing import NDArray

    from passes.ir.layers import Layer
    from passes.ir.plan import TensorQuant
    from passes.lowering.emission import Emission

DOMAIN = "com.microsoft"
CONTAINERS = (2, 4, 8)
"""Bits of codes that the kernels for processors have; other widths take the next of these."""
BLOCKS = (16, 32, 64, 128, 256)
"""Sizes of blocks; ONNX Runtime 1.31 refuses larger ones."""
UNGROUPED_BLOCK = 128
"""Size of the blocks of a weight that has one scale per channel, which all blocks of the channel repeat."""
FLOATS = 1
"""Level of accuracy that keeps activations in single precision."""


@dataclass(frozen=True, slots=True)
class Blocks:
    """A weight as the operator reads it.

    Attributes:
        codes: uint8, shape (channels, blocks, block_size * bits / 8).
        scale: float32, shape (channels, blocks).
        zero: uint8, packed as codes are, shape (channels, ceil(blocks * bits / 8)); ``None`` where all are
            ``2**(bits - 1)``.
        depth: input channels.
        block_size: input channels of a block; the last may have fewer.
        bits: of a code.
    """

    codes: NDArray[np.uint8]
    scale: NDArray[np.float32]
    zero: NDArray[np.uint8] | None
    depth: int
    block_size: int
    bits: int


def has_blocks(layer: Layer, quant: TensorQuant) -> bool:
    """Tell whether the operator can stand for a layer: a matrix product with constant weights of few bits."""
    if layer.op not in ("Gemm", "MatMul") or layer.weight is None or quant.points is not None:
        return False
    granularity, narrow = quant.spec.granularity, quant.spec.format.bits <= CONTAINERS[-1]
    if not isinstance(granularity, PerGroup):
        return narrow
    return narrow and granularity.size in BLOCKS and granularity.axis == 1 - layer.channel_axis


def blocks_of(layer: Layer, quant: TensorQuant) -> Blocks:
    """Arrange the codes and scales of a weight in blocks.

    Args:
        layer: for which `has_blocks` holds.
        quant: of its weight, with parameters.
    """
    granularity, params, fmt = quant.spec.granularity, quant.params, quant.spec.format
    bits = next(width for width in CONTAINERS if width >= fmt.bits)
    codes = quantized_weight(layer, quant).astype(np.int64)
    scale, zero = (
        np.broadcast_to(granularity.expand(values, codes.shape), codes.shape)
        for values in (params.scale, params.zero_point)  # type: ignore[union-attr]
    )
    if layer.channel_axis == 1:
        codes, scale, zero = codes.T, scale.T, zero.T
    depth = codes.shape[1]
    size = granularity.size if isinstance(granularity, PerGroup) else _ungrouped(depth)
    # Whatever is stored beyond the depth is multiplied by nothing; it has the code that stands for zero.
    offset = 1 << bits - 1 if fmt.signed else 0
    padded = np.pad(codes - zero, ((0, 0), (0, -depth % size))) + np.repeat(
        (zero + offset)[:, ::size], size, axis=1
    )
    zeros = zero[:, ::size] + offset
    return Blocks(
        codes=packed_codes(padded.reshape(len(codes), -1, size), bits),
        scale=np.ascontiguousarray(scale[:, ::size], dtype=np.float32),
        zero=None if (zeros == 1 << bits - 1).all() else packed_codes(zeros, bits),
        depth=depth,
        block_size=size,
        bits=bits,
    )


def emit_blocks(layer: Layer, quant: TensorQuant, emission: Emission) -> None:
    """Let MatMulNBits stand in the place of a layer; its bias is added behind it."""
    blocks, name = blocks_of(layer, quant), layer.weight.name  # type: ignore[union-attr]
    stored: dict[str, NDArray[Any]] = {made(name, "blocks"): blocks.codes, made(name, "scales"): blocks.scale}
    if blocks.zero is not None:
        stored[made(name, "zeros")] = blocks.zero
    emission.initializers.extend(numpy_helper.from_array(array, it) for it, array in stored.items())
    emission.domains.add(DOMAIN)
    product = helper.make_node("MatMulNBits", [], [], domain=DOMAIN, accuracy_level=FLOATS)
    sizes = {"K": blocks.depth, "N": len(blocks.scale), "bits": blocks.bits, "block_size": blocks.block_size}
    product.attribute.extend(helper.make_attribute(key, value) for key, value in sizes.items())

    def replace(node: onnx.NodeProto) -> list[onnx.NodeProto]:
        bias = [it for it in node.input[2:] if it]
        product.input.extend([node.input[0], *stored])
        if not bias and layer.name not in emission.added_inputs:
            product.name = node.name
            product.output.extend(node.output)
            return [product]
        product.name, result = made(node.name, "product"), made(node.output[0], "product")
        product.output.append(result)
        return [product, helper.make_node("Add", [result, *bias], list(node.output), node.name)]

    emission.replaced[layer.name] = replace
    emission.renamed.setdefault(name, name)


def _ungrouped(depth: int) -> int:
    """Return the smallest block that holds a whole channel, where one of the usual size does."""
    return next((size for size in BLOCKS if depth <= size <= UNGROUPED_BLOCK), UNGROUPED_BLOCK)


def packed_codes(codes: NDArray[np.integer], bits: int) -> NDArray[np.uint8]:
    """Pack unsigned codes along the last axis, the first in the lowest bits."""
    per_byte = 8 // bits
    count = codes.shape[-1]
    whole = np.zeros((*codes.shape[:-1], -(-count // per_byte) * per_byte), np.uint8)
    whole[..., :count] = codes
    shifts = np.arange(per_byte, dtype=np.uint8) * np.uint8(bits)
    parts = whole.reshape(*codes.shape[:-1], -1, per_byte) << shifts
    return np.asarray(np.bitwise_or.reduce(parts, axis=-1), dtype=np.uint8)
