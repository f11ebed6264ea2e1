"""What ONNX Runtime makes of Conv, MatMul and Gemm between quantizers at its default level.

Measured on 1.31.1, every pair of types: the selection of integer kernels does not look whether the kernel has
the type. ``fused`` tells what is selected, the rules tell what has no kernel.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from onnx import TensorProto

from passes.lint.element_types import FLOAT8, FLOATS, INT2, INT4, INT8, INT16, NARROW, alike
from passes.lint.view import attribute, input_name, is_quantize, output_name

if TYPE_CHECKING:
    from collections.abc import Iterator

    import onnx

    from passes.lint.runtime import Runtime
    from passes.lint.view import View

OPS = ("Conv", "MatMul", "Gemm")
ROUNDED = ("Conv", "ConvTranspose", "Gemm")
"""Operators whose float weights are rounded to INT8 when their input and their result are quantized."""
ROUNDING, BLOCKED_GEMM = (1, 22), (1, 28)
"""First releases that round float weights, and that leave Gemm with blocked weights alone."""


@dataclass(frozen=True, slots=True)
class Product:
    """A layer whose input and weight come out of DequantizeLinear, or one of them.

    Attributes:
        node: the layer.
        act: type of the codes of its first operand; 0 when that is float.
        weight: type of the codes of its second operand; 0 when that is float.
        result: type of the codes of its result; 0 when no QuantizeLinear follows that could be fused.
        blocked: whether the second operand has a scale for every block.
        version: of the runtime.
    """

    node: onnx.NodeProto
    act: int
    weight: int
    result: int
    blocked: bool
    version: tuple[int, int]

    @property
    def fused(self) -> bool:
        """Whether an integer kernel is put in its place, be there one or not."""
        if self.node.op_type == "Conv":
            takes, needs_result = INT2 | INT4 | INT8 | FLOAT8, True
        else:
            takes, needs_result = INT2 | INT8 | FLOAT8, False
        if self.act not in takes or self.weight not in INT2 | INT8 | FLOAT8:
            return False
        if self.node.op_type == "Gemm" and self.blocked and self.version >= BLOCKED_GEMM:
            return False
        return alike(self.act, self.result) if self.result else not needs_result


def products(view: View, runtime: Runtime) -> Iterator[Product]:
    """Yield the layers of a graph of which at least one operand is quantized."""
    for node in view.ops(*OPS):
        first, second = (view.dequantize(input_name(node, index)) for index in (0, 1))
        if first is None and second is None:
            continue
        follower = quantizer_behind(view, node)
        yield Product(
            node,
            view.codes_type(first) if first is not None else 0,
            view.codes_type(second) if second is not None else rounded_weight(view, node, runtime),
            view.codes_type(follower) if follower is not None else 0,
            second is not None and _has_blocks(view, node, second),
            runtime.version,
        )


def _has_blocks(view: View, node: onnx.NodeProto, source: onnx.NodeProto) -> bool:
    """Tell whether a weight has blocks of its own scale; for MatMul, one block is as good as none."""
    if attribute(source, "block_size", 0) <= 0:
        return False
    scale, axis = view.initializer(input_name(source, 1)), attribute(source, "axis", 1)
    known = scale is not None and -len(scale.dims) <= axis < len(scale.dims)
    return node.op_type != "MatMul" or not known or scale.dims[axis] > 1  # type: ignore[union-attr]


def rounded_weight(view: View, node: onnx.NodeProto, runtime: Runtime) -> int:
    """Return INT8 where the float weight of a layer will be rounded to it, else 0."""
    weight = view.initializer(input_name(node, 1))
    rounds = (
        runtime.version >= ROUNDING
        and node.op_type in ROUNDED
        and weight is not None
        and weight.data_type in FLOATS
        and view.dequantize(input_name(node, 0)) is not None
        and quantizer_behind(view, node, through_all=True) is not None
    )
    return TensorProto.INT8 if rounds else 0


def quantizer_behind(view: View, node: onnx.NodeProto, *, through_all: bool = False) -> onnx.NodeProto | None:
    """Return the QuantizeLinear that alone reads the result of a node, through clamps that will be removed.

    Args:
        view: the graph.
        node: a node.
        through_all: go through every Relu and Clip.
    """
    reader = view.only_reader(output_name(node))
    if reader is not None and reader.op_type in ("Relu", "Clip") and reader.input[0] == node.output[0]:
        behind = view.only_reader(output_name(reader))
        if behind is None or not is_quantize(behind):
            return None
        return behind if through_all or is_removed(view, reader, behind) else None
    return reader if reader is not None and is_quantize(reader) else None


def is_removed(view: View, clamp: onnx.NodeProto, quantize: onnx.NodeProto) -> bool:
    """Tell whether a Relu or Clip before a QuantizeLinear is taken out, as the lowest code does its work."""
    lowest, highest = code_range(view, quantize)
    if clamp.op_type == "Relu":
        kind, zero = view.codes_type(quantize), view.values(input_name(quantize, 2))
        return zero is not None and (kind in NARROW or (kind not in INT16 | {0} and lowest == 0))
    low, high = (view.values(input_name(clamp, index)) for index in (1, 2))
    floor = -float("inf") if low is None or low.size != 1 else float(low.reshape(()))
    ceiling = float("inf") if high is None or high.size != 1 else float(high.reshape(()))
    return lowest >= floor and highest <= ceiling and view.codes_type(quantize) in INT8


def code_range(view: View, quantize: onnx.NodeProto) -> tuple[float, float]:
    """Return the least and the greatest value that codes can stand for; infinite where unknown."""
    scale, zero = (view.values(input_name(quantize, index)) for index in (1, 2))
    ends = _CODES.get(view.codes_type(quantize))
    if scale is None or scale.size != 1 or zero is None or zero.size != 1 or ends is None:
        return -float("inf"), float("inf")
    step, middle = float(scale.reshape(())), float(zero.reshape(()))
    return (ends[0] - middle) * step, (ends[1] - middle) * step


_CODES = {
    getattr(TensorProto, f"{sign}INT{bits}"): (0, 2**bits - 1)
    if sign
    else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    for bits in (2, 4, 8, 16)
    for sign in ("", "U")
}
