"""Builds ONNX models as qtool lowers networks: codes between QuantizeLinear and its inverse."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from passes.lowering.encoding import Form, codes_tensor, weight_encoding
from passes.numerics import IntFormat

if TYPE_CHECKING:
    import onnx
    from numpy.typing import NDArray

    from qtool.probe.shapes import ConvShape

OPSET = 17
IR_VERSIONS = {17: 8, 21: 10, 25: 13}
SCALE = np.float32(1 / 128)


@dataclass
class Builder:
    """Nodes and constants of a model in the making; tensors are named by what made them.

    Attributes:
        weight_bits: 32 for float weights, else those of codes.
        act_bits: 32 for float activations, else 8.
    """

    weight_bits: int
    act_bits: int
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    constants: list[onnx.TensorProto] = field(default_factory=list)
    inputs: list[onnx.ValueInfoProto] = field(default_factory=list)
    rng: np.random.Generator = field(default_factory=lambda: np.random.default_rng(0))

    def node(self, op: str, inputs: list[str], **attributes: Any) -> str:
        """Append a node; return its output."""
        name = f"{op}.{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, inputs, [name], name=name, **attributes))
        return name

    def input(self, *shape: int) -> str:
        """Append an input of codes or floats; return the float tensor that it stands for."""
        name = f"input.{len(self.inputs)}"
        kind = TensorProto.UINT8 if self.act_bits == 8 else TensorProto.FLOAT
        self.inputs.append(helper.make_tensor_value_info(name, kind, shape))
        return self.dequantize(name) if self.act_bits == 8 else name

    def quantize(self, name: str) -> str:
        """Append QuantizeLinear to UINT8."""
        return self.node("QuantizeLinear", [name, *self._params()])

    def dequantize(self, name: str) -> str:
        """Append DequantizeLinear from UINT8."""
        return self.node("DequantizeLinear", [name, *self._params()])

    def clamp(self, name: str) -> str:
        """Append Clip from 0 to 6 where activations are floats; codes saturate by themselves."""
        if self.act_bits == 8:
            return name
        bounds = [self._constant(np.array(bound, dtype=np.float32)) for bound in (0, 6)]
        return self.node("Clip", [name, *bounds])

    def through_codes(self, name: str) -> str:
        """Quantize and dequantize, where activations are codes."""
        return self.dequantize(self.quantize(name)) if self.act_bits == 8 else name

    def weight(self, *shape: int, axis: int) -> str:
        """Append weights, with a scale per channel along ``axis`` where they are codes."""
        if self.weight_bits == 32:
            return self._constant(self.rng.normal(size=shape).astype(np.float32))
        fmt = IntFormat(self.weight_bits, signed=True)
        codes = self.rng.integers(fmt.qmin, fmt.qmax, shape, endpoint=True)
        name, zeros = f"weight.{len(self.constants)}", f"zeros.{len(self.constants)}"
        encoding = weight_encoding(fmt, Form.QDQ)
        self.constants.append(codes_tensor(name, codes, encoding))
        self.constants.append(codes_tensor(zeros, np.zeros(shape[axis], dtype=np.int64), encoding))
        scale = self._constant(np.full(shape[axis], SCALE))
        return self.node("DequantizeLinear", [name, scale, zeros], axis=axis)

    def conv(self, name: str, shape: ConvShape) -> str:
        """Append a convolution with bias."""
        weight = self.weight(
            *(shape.out_channels, shape.in_channels // shape.groups, shape.kernel, shape.kernel), axis=0
        )
        before, after = (shape.kernel - 1) // 2, shape.kernel // 2
        return self.node(
            "Conv",
            [name, weight, self._bias(shape.out_channels)],
            strides=[shape.stride] * 2,
            pads=[before, before, after, after],
            group=shape.groups,
        )

    def model(self, output: str, kind: int = TensorProto.FLOAT) -> onnx.ModelProto:
        """Finish with a tensor as output."""
        values = [helper.make_tensor_value_info(output, kind, None)]
        graph = helper.make_graph(self.nodes, "probe", self.inputs, values, self.constants)
        opset = {2: 25, 4: 21}.get(self.weight_bits, OPSET)
        return helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=IR_VERSIONS[opset]
        )

    def model_of_codes(self, output: str) -> onnx.ModelProto:
        """Finish with a tensor that leaves as codes where activations are codes."""
        if self.act_bits == 8:
            return self.model(self.quantize(output), TensorProto.UINT8)
        return self.model(output)

    def _bias(self, count: int) -> str:
        if self.act_bits == 32:
            return self._constant(np.ones(count, dtype=np.float32))
        scale = self._constant(np.full(count, SCALE * SCALE))
        return self.node("DequantizeLinear", [self._constant(np.ones(count, dtype=np.int32)), scale], axis=0)

    def _constant(self, values: NDArray[Any]) -> str:
        name = f"constant.{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(values, name))
        return name

    def _params(self) -> list[str]:
        return [self._constant(np.array(SCALE)), self._constant(np.array(0, dtype=np.uint8))]
