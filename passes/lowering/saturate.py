"""Moves a Clip behind the QuantizeLinear that reads it: from floats to codes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from onnx import helper, numpy_helper

from passes.lowering.made_names import made, settle_names

if TYPE_CHECKING:
    from collections.abc import Mapping

    import onnx
    from numpy.typing import NDArray

    Constants = Mapping[str, NDArray[Any]]


def saturate_codes(proto: onnx.ModelProto) -> onnx.ModelProto:
    """Let every Clip that only a QuantizeLinear to UINT8 or INT8 reads bound its codes instead.

    Quantization rises with its input, so both ways give the same codes; but ONNX Runtime runs a layer on
    integers only where QuantizeLinear follows it directly. Where the bounds are those of the type, Clip goes.
    A Clip of dequantized values stays: without it, ONNX Runtime 1.31 takes two pairs in a row for one, even
    at its exact level, and gives it a scale of its own (DoubleQDQPairsRemover).

    Args:
        proto: a model; it is changed.
    """
    bounding = [node for node in proto.graph.node if node.op_type in ("Clip", "QuantizeLinear")]
    known = {name for node in bounding for name in node.input[1:]}
    constants = {it.name: numpy_helper.to_array(it) for it in proto.graph.initializer if it.name in known}
    readers: dict[str, list[onnx.NodeProto]] = {}
    for node in proto.graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    dequantized = {node.output[0] for node in proto.graph.node if node.op_type == "DequantizeLinear"}
    leaving = {output.name for output in proto.graph.output}
    for clip in [node for node in proto.graph.node if node.op_type == "Clip"]:
        read = readers.get(clip.output[0], [])
        alone = len(read) == 1 and clip.output[0] not in leaving and clip.input[0] not in dequantized
        if alone and read[0].op_type == "QuantizeLinear":
            bounds = _code_bounds(clip, read[0], constants)
            if bounds is not None:
                _move(proto.graph, clip, read[0], bounds, readers)
    settle_names(proto.graph)
    return proto


def _code_bounds(clip: onnx.NodeProto, quantize: onnx.NodeProto, constants: Constants) -> NDArray[Any] | None:
    """Return the codes of both bounds, or ``None`` where they are unknown or not of 8 bits."""
    names = (*clip.input[1:], *quantize.input[1:])
    if any(name and name not in constants for name in names) or len(quantize.input) < 3:
        return None
    scale, zero = (constants[name] for name in quantize.input[1:])
    if scale.size > 1 or zero.dtype not in (np.uint8, np.int8):
        return None
    limits = np.iinfo(zero.dtype)
    given = [*clip.input[1:], "", ""][:2]
    floats = [constants[name].reshape(()) if name else None for name in given]
    codes = [
        end if bound is None else np.rint(np.float32(bound) / scale) + int(zero)
        for bound, end in zip(floats, (limits.min, limits.max), strict=True)
    ]
    bounds: NDArray[Any] = np.clip(np.array(codes), limits.min, limits.max).astype(zero.dtype)
    return bounds


def _move(
    graph: onnx.GraphProto,
    clip: onnx.NodeProto,
    quantize: onnx.NodeProto,
    bounds: NDArray[Any],
    readers: Mapping[str, list[onnx.NodeProto]],
) -> None:
    quantize.input[0] = clip.input[0]
    limits = np.iinfo(bounds.dtype)
    if bounds.tolist() != [limits.min, limits.max]:
        codes = quantize.output[0]
        saturated = made(codes, "saturated")
        for reader in readers.get(codes, []):
            reader.input[:] = [saturated if name == codes else name for name in reader.input]
        names = [made(saturated, "min"), made(saturated, "max")]
        graph.initializer.extend(
            numpy_helper.from_array(np.asarray(bound), name)
            for bound, name in zip(bounds, names, strict=True)
        )
        moved = helper.make_node("Clip", [codes, *names], [saturated], name=clip.name)
        graph.node.insert(list(graph.node).index(quantize) + 1, moved)
    graph.node.remove(clip)
