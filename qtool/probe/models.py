"""The ONNX model that each point is measured in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from onnx import TensorProto

from qtool.probe.builder import Builder
from qtool.probe.shapes import ConvShape, GemmShape, OperatorShape, ProductShape

if TYPE_CHECKING:
    import onnx

    from qtool.probe.shapes import Point

NEIGHBOUR_CHANNELS = 16
"""Channels on the far side of the convolutions around an operator."""


def build_model(point: Point) -> onnx.ModelProto:
    """Return the model of a point.

    Layers stand alone between input and output, float convolutions with a Clip behind them: ONNX Runtime runs
    it with the layer, at a small price, where a Relu is free. Operators without products stand between
    convolutions 1 x 1, to be laid out and fused as in a network; conversions and Softmax stand alone.
    """
    builder = Builder(point.precision.weight_bits, point.precision.act_bits)
    match point.shape:
        case ConvShape() as shape:
            side = shape.size * shape.stride
            given = builder.input(1, shape.in_channels, side, side)
            return builder.model_of_codes(builder.clamp(builder.conv(given, shape)))
        case GemmShape() as shape:
            given = builder.input(shape.rows, shape.inner)
            weight = builder.weight(shape.inner, shape.columns, axis=1)
            return builder.model_of_codes(builder.node("MatMul", [given, weight]))
        case ProductShape() as shape:
            left = builder.input(shape.batch, shape.rows, shape.inner)
            right = builder.input(shape.batch, shape.inner, shape.columns)
            return builder.model_of_codes(builder.node("MatMul", [left, right]))
        case OperatorShape() as shape:
            return _operator(builder, shape)


def build_chain(length: int) -> onnx.ModelProto:
    """Return a chain of tiny float convolutions that cost little but their start."""
    builder = Builder(32, 32)
    shape = ConvShape(NEIGHBOUR_CHANNELS, NEIGHBOUR_CHANNELS, 1, 1, 4)
    name = builder.input(1, shape.in_channels, shape.size, shape.size)
    for _ in range(length):
        name = builder.conv(name, shape)
    return builder.model(name)


def _operator(builder: Builder, shape: OperatorShape) -> onnx.ModelProto:
    if shape.op == "DequantizeLinear":
        return builder.model(builder.input(1, shape.channels, shape.size, shape.size))
    if shape.op == "QuantizeLinear":
        builder.act_bits = 32
        codes = builder.quantize(builder.input(1, shape.channels, shape.size, shape.size))
        return builder.model(codes, TensorProto.UINT8)
    if shape.op == "Softmax":
        given = builder.input(shape.size**2, shape.channels)
        return builder.model_of_codes(builder.node("Softmax", [given], axis=-1))
    return _between_convolutions(builder, shape)


def _between_convolutions(builder: Builder, shape: OperatorShape) -> onnx.ModelProto:
    given = builder.input(1, NEIGHBOUR_CHANNELS, shape.size, shape.size)
    before = ConvShape(NEIGHBOUR_CHANNELS, shape.channels, 1, 1, shape.size)
    operands = [builder.through_codes(builder.conv(given, before)) for _ in range(shape.operands)]
    result = builder.node(shape.op, operands, **_attributes(shape.op))
    written = shape.channels * (shape.operands if shape.op == "Concat" else 1)
    after = ConvShape(written, NEIGHBOUR_CHANNELS, 1, 1, shape.size)
    return builder.model_of_codes(builder.conv(builder.through_codes(result), after))


def _attributes(op: str) -> dict[str, Any]:
    if op == "Concat":
        return {"axis": 1}
    return {"kernel_shape": [2, 2], "strides": [2, 2]} if op in ("MaxPool", "AveragePool") else {}
