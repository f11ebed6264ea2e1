"""Takes DequantizeLinear off the constants that layers multiply by, and keeps their codes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from onnx import helper

from passes.interchange.quantizer import TYPES, Quantizer, is_dequantize, is_quantize, read_quantizer
from passes.ir.plan import Role, TensorQuant
from passes.numerics import (
    SUPPORTED_BITS,
    Granularity,
    IntFormat,
    PerChannel,
    PerGroup,
    PerTensor,
    QuantParams,
    QuantSpec,
    dequantize,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    import onnx
    from numpy.typing import NDArray

    from passes.interchange.activations import Found
    from passes.interchange.network import Network

WEIGHTS: dict[str, tuple[int, ...]] = {
    "Conv": (1,),
    "ConvTranspose": (1,),
    "Gemm": (1,),
    "MatMul": (1,),
    **dict.fromkeys(("LSTM", "GRU", "RNN"), (1, 2)),
}
"""Inputs that hold weights, by operator."""
BIASES: dict[str, tuple[int, ...]] = {"Conv": (2,), "ConvTranspose": (2,), "Gemm": (2,)}
"""Inputs that hold biases, by operator."""
BIAS_BITS = 32


@dataclass
class _Stored:
    """Codes on their way to a layer, through what only arranges them."""

    codes: NDArray[np.int64]
    quantizer: Quantizer
    axis: int
    name: str
    nodes: list[onnx.NodeProto]


def fold_constant_quantizers(network: Network, found: Found) -> None:
    """Compute the codes of constants behind a QuantizeLinear, as ONNX rounds them."""
    replaced: dict[str, list[onnx.NodeProto]] = {}
    renamed: dict[str, str] = {}
    for node in network.nodes:
        values = network.constant(node.input[0]) if is_quantize(node) else None
        if values is None or values.dtype != np.float32:
            continue
        quantizer = read_quantizer(node, network)
        if isinstance(quantizer, str) or quantizer.bits == BIAS_BITS:
            found.kept[node.name] = (
                quantizer if isinstance(quantizer, str) else "a type that has no codes here"
            )
            continue
        fmt = IntFormat(quantizer.bits, quantizer.signed)
        scale, zero = (_spread(it, quantizer, values.shape) for it in (quantizer.scale, quantizer.zero))
        codes = np.clip(np.rint(values / scale) + zero, fmt.qmin, fmt.qmax)
        codes = codes.astype(helper.tensor_dtype_to_np_dtype(TYPES[quantizer.bits, quantizer.signed]))
        renamed[node.output[0]] = network.add_constant(f"{node.input[0]}.q", codes)
        replaced[node.name] = []
        found.unread.update(node.input)
    network.replace(made for node in network.nodes for made in replaced.get(node.name, [node]))
    network.redirect(renamed)


def take_weights(network: Network, found: Found) -> None:
    """Turn stored integers that layers multiply by, or add as biases, into float constants.

    Other constants keep their DequantizeLinear: their integers stay in the file.

    Args:
        network: it is changed.
        found: where to put what was read.
    """
    removed: dict[str, list[onnx.NodeProto]] = {}
    renamed: dict[str, str] = {}
    for node in network.nodes:
        if not is_dequantize(node) or not network.is_constant(node.input[0]):
            continue
        stored = _stored(node, network)
        reason = stored if isinstance(stored, str) else _take(stored, network, found, renamed)
        if reason:
            found.kept[node.name] = reason
        elif not isinstance(stored, str):
            removed |= {it.name: [] for it in stored.nodes}
            found.unread.update(name for it in stored.nodes for name in it.input)
    network.replace(made for node in network.nodes for made in removed.get(node.name, [node]))
    network.redirect(renamed)


def _take(stored: _Stored, network: Network, found: Found, renamed: dict[str, str]) -> str:
    """Put a float constant in the place of stored integers; return why not, or an empty string."""
    last = stored.nodes[-1].output[0]
    readers = network.readers(last)
    is_bias = bool(readers) and all(_at(it, last, BIASES) for it in readers)
    if not is_bias and not (readers and all(_at(it, last, WEIGHTS) for it in readers)):
        return "no layer multiplies by it: its integers stay behind a DequantizeLinear"
    if last in network.outputs or (not is_bias and stored.quantizer.bits == BIAS_BITS):
        return "it is a result of the model, or a weight of 32 bits"
    if is_bias:
        scale = _spread(stored.quantizer.scale, stored.quantizer, stored.codes.shape)
        zero = _spread(stored.quantizer.zero, stored.quantizer, stored.codes.shape)
        values: NDArray[Any] = (stored.codes - zero).astype(np.float32) * scale
    else:
        quant = weight_quant(stored.codes, stored.quantizer, stored.axis)
        values = dequantize(quant.codes, quant.spec, quant.params)  # type: ignore[arg-type]
    name = network.add_constant(network.base_name(stored.name) or last, values.astype(np.float32))
    renamed[last] = name
    if not is_bias:
        found.weights[name] = quant
    return ""


def weight_quant(
    codes: NDArray[np.int64], quantizer: Quantizer, axis: int, by_channel: bool | None = None
) -> TensorQuant:
    """Return the decision for a weight, with its codes.

    A container of 8 or 16 bits only says how wide codes may be: the narrowest format that holds them is
    taken. Unsigned codes around the middle of their type are signed ones.

    Args:
        codes: in ONNX layout.
        quantizer: their numbers.
        axis: that several scales run along.
        by_channel: whether one scale is that of one channel; ``None``: it is that of the tensor.
    """
    zero, signed = quantizer.zero, quantizer.signed
    middle = 1 << quantizer.bits - 1
    if not signed and (zero == middle).all():
        codes, zero, signed = codes - middle, zero - middle, True
    fits = [bits for bits in SUPPORTED_BITS if 2 <= bits <= quantizer.bits]
    fmt = next(it for it in (IntFormat(bits, signed) for bits in fits) if _holds(it, codes, zero))
    many = not quantizer.per_tensor if by_channel is None else by_channel
    granularity: Granularity = PerChannel(axis) if many else PerTensor()
    granularity = PerGroup(axis, quantizer.block) if quantizer.block else granularity
    shape = granularity.param_shape(codes.shape)
    params = QuantParams(quantizer.scale.reshape(shape), zero.reshape(shape).astype(np.int32))
    spec = QuantSpec(fmt, granularity, symmetric=signed and not zero.any())
    return TensorQuant(Role.WEIGHT, spec, params, codes)


def _holds(fmt: IntFormat, codes: NDArray[np.int64], zero: NDArray[np.int64]) -> bool:
    ends = codes.min(initial=0), codes.max(initial=0), zero.min(initial=0), zero.max(initial=0)
    return bool(fmt.qmin <= min(ends) and max(ends) <= fmt.qmax)


def _stored(node: onnx.NodeProto, network: Network) -> _Stored | str:
    quantizer = read_quantizer(node, network)
    codes = network.constant(node.input[0])
    if isinstance(quantizer, str) or codes is None:
        return quantizer if isinstance(quantizer, str) else "its codes are computed at run time"
    axis = quantizer.axis % max(codes.ndim, 1)
    found = _Stored(codes.astype(np.int64), quantizer, axis, node.input[0], [node])
    if not quantizer.per_tensor and not _fits(quantizer, codes.shape, axis):
        return f"scales of shape {quantizer.scale.shape} for codes of shape {codes.shape}"
    while (reader := network.sole_reader(found.nodes[-1].output[0])) is not None and _arrange(
        found, reader, network
    ):
        found.nodes.append(reader)
    return found


def _fits(quantizer: Quantizer, shape: tuple[int, ...], axis: int) -> bool:
    granularity = PerGroup(axis, quantizer.block) if quantizer.block else PerChannel(axis)
    return bool(shape) and granularity.param_shape(shape) == quantizer.scale.shape


def _arrange(stored: _Stored, node: onnx.NodeProto, network: Network) -> bool:
    """Follow codes through a Transpose, an Identity, or a Reshape that drops ones at the end."""
    attrs = {it.name: helper.get_attribute_value(it) for it in node.attribute}
    codes = stored.codes
    if node.op_type == "Identity":
        return True
    if node.op_type == "Transpose" and not stored.quantizer.block:
        perm = list(attrs.get("perm", range(codes.ndim - 1, -1, -1)))
        stored.codes, stored.axis = codes.transpose(perm), perm.index(stored.axis)
        return True
    shape = network.constant(node.input[1]) if node.op_type == "Reshape" else None
    if shape is None or not codes.ndim or codes.shape[-1] != 1 or stored.axis == codes.ndim - 1:
        return False
    if tuple(shape.tolist()) != codes.shape[:-1]:
        return False
    stored.codes = codes[..., 0]
    if stored.quantizer.block:
        quantizer = stored.quantizer
        stored.quantizer = Quantizer(
            quantizer.scale[..., 0], quantizer.zero[..., 0], quantizer.bits, quantizer.signed, stored.axis,
            quantizer.block,
        )  # fmt: skip
    return True


def _spread(params: NDArray[Any], quantizer: Quantizer, shape: tuple[int, ...]) -> NDArray[Any]:
    """Return parameters ready to broadcast against a tensor."""
    if quantizer.per_tensor:
        return params.reshape(())
    axis = quantizer.axis % len(shape)
    found = PerGroup(axis, quantizer.block) if quantizer.block else PerChannel(axis)
    return found.expand(params, shape)


def _at(node: onnx.NodeProto, name: str, table: Mapping[str, tuple[int, ...]]) -> bool:
    """Tell whether a node of ONNX reads a tensor directly, and only where the table says."""
    places = {index for index, it in enumerate(node.input) if it == name}
    known = set(table.get(node.op_type, ())) if node.domain in ("", "ai.onnx") else set()
    return bool(places) and places <= known
