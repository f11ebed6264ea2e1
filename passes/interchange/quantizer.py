"""`Quantizer`: the numbers of QuantizeLinear and DequantizeLinear (opset 10 to 25, com.microsoft 1)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import onnx

from passes.numerics import IntFormat

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from passes.interchange.network import Network

DOMAINS = ("", "ai.onnx", "com.microsoft")
_T = onnx.TensorProto
INTEGERS: dict[int, tuple[int, bool]] = {
    _T.INT2: (2, True), _T.UINT2: (2, False), _T.INT4: (4, True), _T.UINT4: (4, False), _T.INT8: (8, True),
    _T.UINT8: (8, False), _T.INT16: (16, True), _T.UINT16: (16, False), _T.INT32: (32, True),
}  # fmt: skip
"""Bits and signedness of element types that codes may have."""
TYPES = {bits_and_sign: kind for kind, bits_and_sign in INTEGERS.items()}
"""Element types by bits and signedness."""


@dataclass(frozen=True, slots=True, eq=False)
class Quantizer:
    """Scales and zero points in the file.

    Attributes:
        scale: float32, as stored.
        zero: int64, of the same shape.
        bits: width of the element type of the codes.
        signed: its signedness.
        axis: that the scales run along; meaningless where there is one scale.
        block: elements that share a scale along the axis, or 0.
    """

    scale: NDArray[np.float32]
    zero: NDArray[np.int64]
    bits: int
    signed: bool
    axis: int
    block: int

    @property
    def per_tensor(self) -> bool:
        """True when all elements share one scale."""
        return self.scale.size == 1 and not self.block

    def same(self, other: Quantizer) -> bool:
        """Tell whether two have equal numbers and types."""
        alike = (self.bits, self.signed, self.block) == (other.bits, other.signed, other.block)
        axes = self.per_tensor or self.axis == other.axis
        numbers = self.scale.reshape(-1), other.scale.reshape(-1)
        zeros = self.zero.reshape(-1), other.zero.reshape(-1)
        return alike and axes and np.array_equal(*numbers) and np.array_equal(*zeros)


def is_quantize(node: onnx.NodeProto) -> bool:
    """Tell whether a node is a QuantizeLinear."""
    return node.op_type == "QuantizeLinear" and node.domain in DOMAINS


def is_dequantize(node: onnx.NodeProto) -> bool:
    """Tell whether a node is a DequantizeLinear."""
    return node.op_type == "DequantizeLinear" and node.domain in DOMAINS


def read_quantizer(node: onnx.NodeProto, network: Network) -> Quantizer | str:
    """Return the numbers of a QuantizeLinear or DequantizeLinear, or why a plan cannot hold them."""
    attrs = {it.name: it.i for it in node.attribute}
    scale, zero = network.constant(node.input[1]) if len(node.input) > 1 else None, None
    if scale is None:
        return "its scale is computed at run time"
    kind = _codes_type(node, attrs, network)
    if kind not in INTEGERS or scale.dtype != np.float32:
        return f"scales of {scale.dtype} for element type {kind}; expected float32 and integers"
    if not (np.isfinite(scale) & (scale > 0)).all():
        return "a scale is not positive and finite"
    if len(node.input) > 2 and node.input[2]:
        zero = network.constant(node.input[2])
        if zero is None or zero.size != scale.size:
            return "its zero point is computed at run time, or has another shape than its scale"
    zeros = np.zeros(scale.shape, np.int64) if zero is None else zero.astype(np.int64).reshape(scale.shape)
    bits, signed = INTEGERS[kind]
    return Quantizer(scale, zeros, bits, signed, attrs.get("axis", 1), attrs.get("block_size", 0))


def _codes_type(node: onnx.NodeProto, attrs: dict[str, int], network: Network) -> int:
    if len(node.input) > 2 and node.input[2]:
        return network.constant_type(node.input[2])
    if is_dequantize(node):
        maker = network.producer.get(node.input[0])
        while maker is not None and maker.op_type == "Clip":
            maker = network.producer.get(maker.input[0])
        if maker is None or not is_quantize(maker):
            return network.constant_type(node.input[0])
        return _codes_type(maker, {it.name: it.i for it in maker.attribute}, network)
    return attrs.get("output_dtype", 0) or _T.UINT8


def format_between(low: int, high: int, signed: bool) -> IntFormat | None:
    """Return the format whose codes are exactly those from ``low`` to ``high``, or ``None``."""
    bits = (high - low + 1).bit_length() if signed and low == -high else (high - low).bit_length()
    narrow = signed and low == -high and high > 0
    if not 1 <= bits <= 8 and bits != 16:
        return None
    found = IntFormat(bits, signed, narrow)
    return found if (found.qmin, found.qmax) == (low, high) else None
