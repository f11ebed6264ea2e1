"""Matrix products of float activations and integer weights, which ONNX Runtime turns into MatMulNBits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from passes.lint.element_types import INT2, INT4, INT8
from passes.lint.products import quantizer_behind
from passes.lint.view import attribute, input_name

if TYPE_CHECKING:
    from collections.abc import Iterator

    import onnx

    from passes.lint.runtime import Runtime
    from passes.lint.view import View

ALL_WEIGHTS = (1, 26)
"""First release that fuses weights of 2, 4 and 8 bits with any scales; before, those of 4 bits in blocks, for
MatMul."""
SMALLEST_BLOCK = 16


@dataclass(frozen=True, slots=True)
class WeightOnly:
    """A layer that becomes MatMulNBits.

    Attributes:
        node: MatMul or Gemm.
        kind: element type of the codes of the weight.
        channels: of the result.
    """

    node: onnx.NodeProto
    kind: int
    channels: int


def weight_only(view: View, runtime: Runtime) -> Iterator[WeightOnly]:
    """Yield the layers of a graph that the default level turns into MatMulNBits."""
    for node in view.ops("MatMul", "Gemm"):
        source = view.dequantize(input_name(node, 1))
        if source is None or view.dequantize(input_name(node, 0)) is not None:
            continue
        codes, kind = view.initializer(input_name(source, 0)), view.codes_type(source)
        alone = view.only_reader(source.output[0]) is not None and quantizer_behind(view, node) is None
        if codes is None or len(codes.dims) != 2 or not alone or not _is_plain(node):
            continue
        early = node.op_type == "Gemm" and runtime.version < ALL_WEIGHTS
        if not early and _is_taken(source, kind, runtime):
            yield WeightOnly(node, kind, int(codes.dims[1]))


def explicit_level(node: onnx.NodeProto) -> int:
    """Return the accuracy_level of a MatMulNBits; 0 where it has none, and for other nodes."""
    named = node.op_type == "MatMulNBits" and node.domain == "com.microsoft"
    return int(attribute(node, "accuracy_level", 0)) if named else 0


def _is_plain(node: onnx.NodeProto) -> bool:
    turned = attribute(node, "transA", 0) or attribute(node, "transB", 0)
    return not turned and attribute(node, "alpha", 1.0) == attribute(node, "beta", 1.0) == 1.0


def _is_taken(source: onnx.NodeProto, kind: int, runtime: Runtime) -> bool:
    block, axis = attribute(source, "block_size", 0), attribute(source, "axis", 1)
    if block:
        sized = block >= SMALLEST_BLOCK and block & (block - 1) == 0 and axis in (0, -2)
        return sized and (kind in INT4 or (kind in INT2 | INT8 and runtime.version >= ALL_WEIGHTS))
    return kind in INT2 | INT4 | INT8 and runtime.version >= ALL_WEIGHTS
