"""Spells QONNX Quant nodes as Q/DQ pairs, the common ground of all that is read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from onnx import helper

from passes.errors import ModelError
from passes.numerics import SUPPORTED_BITS, IntFormat

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from passes.interchange.activations import Found
    from passes.interchange.network import Network

DOMAINS = ("qonnx.custom_op.general", "finn.custom_op.general", "onnx.brevitas")
"""Domains under which Quant nodes are found."""
REFUSED = ("BipolarQuant", "Trunc", "FloatQuant", "MultiThreshold")
"""Operators of these domains that round otherwise than a plan can say."""
BIAS_BITS = 32


@dataclass(frozen=True, slots=True, eq=False)
class _Numbers:
    """Of one Quant node: the ends of its codes, and its scale and zero point with the axis they run along."""

    low: int
    high: int
    dtype: np.dtype[Any]
    scale: NDArray[np.float32]
    zero: NDArray[np.int64]
    axis: int


def expand_quant_nodes(network: Network, found: Found) -> None:
    """Replace every Quant node with constant numbers.

    Args:
        network: it is changed.
        found: where to note nodes that stay.

    Raises:
        ModelError: an operator of QONNX that a plan has no place for, or a rounding other than to even.
    """
    nodes: list[onnx.NodeProto] = []
    for node in network.nodes:
        if node.domain in DOMAINS and node.op_type in REFUSED:
            raise ModelError(
                f"node {node.name!r}: {node.op_type} of QONNX has no place in a plan; "
                "expected Quant nodes only"
            )
        if node.domain not in DOMAINS or node.op_type not in ("Quant", "IntQuant"):
            nodes.append(node)
            continue
        numbers = _numbers(node, network)
        if isinstance(numbers, str):
            found.kept[node.name] = numbers
            nodes.append(node)
        else:
            nodes.extend(_spelled(node, numbers, network))
            found.unread.update(node.input)
    network.replace(nodes)
    if not any(node.domain in DOMAINS for node in nodes):
        kept = [entry for entry in network.proto.opset_import if entry.domain not in DOMAINS]
        copies = [onnx.OperatorSetIdProto.FromString(entry.SerializeToString()) for entry in kept]
        del network.proto.opset_import[:]
        network.proto.opset_import.extend(copies)


def _numbers(node: onnx.NodeProto, network: Network) -> _Numbers | str:
    attrs = {it.name: helper.get_attribute_value(it) for it in node.attribute}
    mode = attrs.get("rounding_mode", b"ROUND")
    if mode.upper() not in (b"ROUND", b"HALF_EVEN"):
        raise ModelError(
            f"node {node.name!r}: rounding_mode {mode.decode('utf-8', 'replace')[:40]!r}; expected ROUND"
        )
    scale, zero, bits = ([*map(network.constant, node.input[1:4])] + [None] * 3)[:3]
    if scale is None or zero is None or bits is None or bits.size != 1:
        return "its scale, zero point or width is computed at run time"
    width, constant = float(bits.reshape(-1)[0]), network.is_constant(node.input[0])
    signed, narrow = bool(attrs.get("signed", 1)), bool(attrs.get("narrow", 0))
    if width not in (*SUPPORTED_BITS, *((BIAS_BITS,) if constant else ())) or (width == 1 and signed):
        return f"codes of {width:g} bits have no place in a plan"
    if not (np.isfinite(scale) & (scale > 0)).all() or (zero != np.rint(zero)).any():
        return "a scale is not positive and finite, or a zero point is not whole"
    return _ranged(int(width), signed, narrow, scale, zero)


def _ranged(bits: int, signed: bool, narrow: bool, scale: NDArray[Any], zero: NDArray[Any]) -> _Numbers | str:
    dtype: np.dtype[Any] = np.dtype(np.int32)
    if bits == BIAS_BITS:
        low, high = -(2**31), 2**31 - 1
    else:
        fmt = IntFormat(bits, signed)
        low, high, dtype = fmt.qmin + (narrow and signed), fmt.qmax - (narrow and not signed), fmt.dtype
    if zero.min() < low or zero.max() > high:
        return "a zero point is not among the codes"
    axes = [axis for axis, size in enumerate(scale.shape) if size > 1]
    if len(axes) > 1 or (zero.size > 1 and zero.shape != scale.shape):
        return "scales along several axes have no place in a plan"
    zeros = np.broadcast_to(zero, scale.shape) if zero.size == 1 else zero
    # Broadcasting counts axes from the end.
    axis = axes[0] - scale.ndim if axes else 0
    values = scale.astype(np.float32).reshape(-1) if axes else scale.astype(np.float32).reshape(())
    return _Numbers(low, high, dtype, values, zeros.astype(np.int64).reshape(values.shape), axis)


def _spelled(node: onnx.NodeProto, numbers: _Numbers, network: Network) -> list[onnx.NodeProto]:
    values, source = network.constant(node.input[0]), node.input[0]
    base = source.removesuffix(".rounded")
    scale = network.add_constant(f"{base}.quant.scale", numbers.scale)
    zero = network.add_constant(f"{base}.quant.zero_point", numbers.zero.astype(numbers.dtype))
    ends = {"axis": numbers.axis} if numbers.scale.size > 1 else {}
    if values is not None:
        codes = network.add_constant(f"{base}.q", _codes(values, numbers))
        return [_made("DequantizeLinear", [codes, scale, zero], node.output[0], node.name, ends)]
    codes = network.fresh(f"{source}.codes")
    nodes = [_made("QuantizeLinear", [source, scale, zero], codes, f"{node.name}.codes", ends)]
    limits = np.iinfo(numbers.dtype)
    if (numbers.low, numbers.high) != (limits.min, limits.max):
        bounds = [
            network.add_constant(f"{base}.quant.{label}", np.array(end, numbers.dtype))
            for label, end in (("min", numbers.low), ("max", numbers.high))
        ]
        clipped = network.fresh(f"{source}.clipped")
        nodes.append(_made("Clip", [codes, *bounds], clipped, f"{node.name}.clip", {}))
        codes = clipped
    return [*nodes, _made("DequantizeLinear", [codes, scale, zero], node.output[0], node.name, ends)]


def _made(op: str, inputs: list[str], output: str, name: str, attrs: dict[str, int]) -> onnx.NodeProto:
    node = helper.make_node(op, inputs, [output], name)
    node.attribute.extend(helper.make_attribute(key, value) for key, value in attrs.items())
    return node


def _codes(values: NDArray[Any], numbers: _Numbers) -> NDArray[Any]:
    """Return the codes of a constant, by the definition of Quant."""
    shape = [1] * values.ndim
    if numbers.scale.size > 1:
        shape[numbers.axis] = numbers.scale.size
    scale, zero = (it.reshape(shape) if it.size > 1 else it for it in (numbers.scale, numbers.zero))
    steps = np.clip(values.astype(np.float64) / scale + zero, numbers.low, numbers.high)
    return np.asarray(np.rint(steps).astype(numbers.dtype))
