"""Which ONNX element type carries a format, given what ONNX Runtime loads and runs correctly."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

import numpy as np
import onnx

from passes.ir.onnx_io import MAX_OPSET

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from passes.numerics import IntFormat

PER_CHANNEL_OPSET, INT4_OPSET, INT2_OPSET = 13, 21, 25


class Form(StrEnum):
    """Spelling of a quantized ONNX model."""

    QDQ = "qdq"
    """Weights in the narrowest native type: small files."""
    QCDQ = "qcdq"
    """Everything in 8-bit containers, low precision kept by integer clipping: stays on integer kernels."""
    NBITS = "matmulnbits"
    """As QDQ, but matrix products with weights of at most 8 bits are com.microsoft MatMulNBits."""
    QONNX = "qonnx"
    """Float operators between Quant nodes of QONNX (`passes.lowering.qonnx`)."""


@dataclass(frozen=True, slots=True)
class Encoding:
    """How codes of one tensor are stored.

    Attributes:
        onnx_type: element type of the stored codes.
        bits: width of that type.
        signed: its signedness.
        clip: True when the container holds more than the format, so that activations need an integer Clip.
        offset: added to codes and zero point on the way into the container.
    """

    onnx_type: int
    bits: int
    signed: bool
    clip: bool
    offset: int = 0

    @property
    def opset(self) -> int:
        """Lowest opset of QuantizeLinear and DequantizeLinear that has the type."""
        return {2: INT2_OPSET, 4: INT4_OPSET, 8: PER_CHANNEL_OPSET, 16: INT4_OPSET}[self.bits]


_TYPES = {
    (2, True): "INT2", (2, False): "UINT2", (4, True): "INT4", (4, False): "UINT4",
    (8, True): "INT8", (8, False): "UINT8", (16, True): "INT16", (16, False): "UINT16",
}  # fmt: skip


def weight_encoding(fmt: IntFormat, form: Form, opset: int = MAX_OPSET) -> Encoding:
    """Choose the element type of a weight: the narrowest that an opset has for QDQ, 8 or 16 bits for QCDQ.

    Signed weights of exactly 8 bits travel as UINT8 with zero point 128. On x86 machines without VNNI, ONNX
    Runtime multiplies unsigned activations by signed weights with an instruction that saturates at 16 bits,
    and silently loses accuracy; for two unsigned operands it uses an exact one.
    """
    if form is not Form.QCDQ and fmt.bits <= 4:
        return _encoding(fmt, 2 if fmt.bits <= 2 and opset >= INT2_OPSET else 4)
    if fmt.bits == 8 and fmt.signed:
        return Encoding(onnx.TensorProto.UINT8, 8, signed=False, clip=fmt.narrow_range, offset=128)
    return _encoding(fmt, 8 if fmt.bits <= 8 else 16)


def alike_weight(fmt: IntFormat) -> Encoding:
    """Return one element type for all weights of at most 8 bits: of 8 bits, unsigned."""
    return Encoding(onnx.TensorProto.UINT8, 8, signed=False, clip=False, offset=128 if fmt.signed else 0)


def act_encoding(fmt: IntFormat, form: Form, *, native4: bool) -> Encoding:
    """Choose the element type of an activation.

    Args:
        fmt: format of the codes.
        form: spelling of the model.
        native4: everything that touches the tensor is known to load with 4-bit activations.
    """
    if fmt.bits > 8:
        return _encoding(fmt, 16)
    # Fewer bits need a Clip behind them, and ONNX defines Clip (opset 13) for 8-bit integers but not for 4.
    return _encoding(fmt, 4 if form is Form.QDQ and native4 and fmt.bits == 4 else 8)


def _encoding(fmt: IntFormat, bits: int) -> Encoding:
    onnx_type = getattr(onnx.TensorProto, _TYPES[bits, fmt.signed])
    return Encoding(onnx_type, bits, fmt.signed, clip=bits > fmt.bits or fmt.narrow_range)


def codes_tensor(name: str, codes: NDArray[np.integer], encoding: Encoding) -> onnx.TensorProto:
    """Store codes as an initializer in raw little-endian form, two or four to a byte below 8 bits.

    Args:
        name: of the initializer.
        codes: integers that fit the encoding.
        encoding: element type.
    """
    tensor = onnx.TensorProto(name=name, data_type=encoding.onnx_type, dims=codes.shape)
    codes = codes.astype(np.int16 if encoding.bits <= 8 else np.int32)
    codes += encoding.offset
    if encoding.bits >= 8:
        kind = f"<{'i' if encoding.signed else 'u'}{encoding.bits // 8}"
        tensor.raw_data = codes.astype(kind).tobytes()
    else:
        tensor.raw_data = _pack_narrow(codes, encoding.bits)
    return tensor


def _pack_narrow(codes: NDArray[np.integer], bits: int) -> bytes:
    """Pack as ONNX prescribes for 2- and 4-bit types: the first element in the lowest bits of a byte."""
    per_byte = 8 // bits
    flat = (codes.reshape(-1) & ((1 << bits) - 1)).astype(np.uint8)
    padded = np.zeros(-(-flat.size // per_byte) * per_byte, dtype=np.uint8)
    padded[: flat.size] = flat
    shifts = np.arange(per_byte, dtype=np.uint8) * np.uint8(bits)
    return bytes(np.bitwise_or.reduce(padded.reshape(-1, per_byte) << shifts, axis=1).astype(np.uint8))
