"""Layers: the operators that multiply, and where their weights, biases and activations are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import prod
from types import MappingProxyType
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import onnx_graphsurgeon as gs

from passes.ir.extent import Extent
from passes.ir.operand_shapes import misfit
from passes.ir.ops import OpClass, op_info
from passes.ir.recurrent import GATES, HIDDEN_WEIGHT, single_obstacle

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

_Scalar = TypeVar("_Scalar", bound=np.generic)
TensorShapes = Mapping[str, tuple[int, ...]]
NO_SIZES: TensorShapes = MappingProxyType({})
QUANTIZED = "it is quantized already"
DYNAMIC_BATCH = 1
"""Size that stands for a symbolic dimension when work is counted."""


@dataclass(frozen=True, slots=True)
class Layer:
    """One quantizable Conv, ConvTranspose, Gemm, MatMul, LSTM, GRU or RNN.

    Attributes:
        name: unique node name.
        op: ONNX operator.
        node: the graphsurgeon node.
        act: the activation it reads.
        weight: its constant weight, or ``None`` for a MatMul whose right side is computed.
        rhs: the computed right side, or ``None``.
        bias: its constant bias, or ``None``; also ``None`` for a recurrent layer, whose biases are per gate.
        hidden_weight: of a recurrent layer, the weight that multiplies its state; its precision is that of
            `weight`.
    """

    name: str
    op: str
    node: gs.Node
    act: gs.Variable
    weight: gs.Constant | None
    rhs: gs.Variable | None
    bias: gs.Constant | None
    hidden_weight: gs.Constant | None = None

    @property
    def parts(self) -> tuple[Layer, ...]:
        """The layer once for every constant weight, each time with that one as its `weight`."""
        if self.weight is None:
            return ()
        if self.hidden_weight is None:
            return (self,)
        return replace(self, hidden_weight=None), replace(self, weight=self.hidden_weight, hidden_weight=None)

    @property
    def recurrent(self) -> bool:
        """True for an LSTM, GRU or RNN."""
        return self.op in GATES

    @property
    def groups(self) -> int:
        """Number of groups of a convolution; 1 for everything else."""
        return int(self.node.attrs.get("group", 1))

    @property
    def channel_axis(self) -> int:
        """Axis of the weight, in ONNX layout, whose slices share a scale: the output channels."""
        if self.op == "Gemm":
            return 0 if self.node.attrs.get("transB", 0) else 1
        axis = op_info(self.op).out_channel_axis
        rank = len(self.weight.shape) if self.weight is not None else 2
        return axis % rank if axis is not None else 0

    @property
    def depthwise(self) -> bool:
        """True for a convolution whose every group has one input channel."""
        return self.op == "Conv" and self.groups > 1 and self.weight is not None and self.weight.shape[1] == 1

    @property
    def input_axis(self) -> int:
        """Axis of the weight that runs over input channels; of a depthwise convolution, its channels."""
        return 0 if self.depthwise else 1 - self.channel_axis

    @property
    def takes_bias(self) -> bool:
        """Whether it has a place for a bias: not a MatMul, nor a cell, whose gates keep theirs."""
        return self.op != "MatMul" and not self.recurrent

    @property
    def output(self) -> gs.Variable:
        """The tensor it writes."""
        return self.node.outputs[0]

    @property
    def weight_name(self) -> str:
        """Name of its constant weight.

        Raises:
            ValueError: the layer has no constant weight.
        """
        if self.weight is None:
            raise ValueError(f"layer {self.name} has no constant weight")
        return str(self.weight.name)

    def weight_values(self) -> NDArray[np.float32]:
        """Return the weight as float32, in ONNX layout.

        Raises:
            ValueError: the layer has no constant weight.
        """
        if self.weight is None:
            raise ValueError(f"layer {self.name} has no constant weight")
        return np.asarray(self.weight.values, dtype=np.float32)


@dataclass(frozen=True, slots=True)
class Unquantized:
    """A node that stays in floating point, and why."""

    name: str
    op: str
    reason: str


def find_layers(graph: gs.Graph) -> tuple[tuple[Layer, ...], tuple[Unquantized, ...]]:
    """Return the layers of the main graph, and the would-be layers that cannot be quantized.

    Bodies of If, Loop and Scan are walked; what they hold is reported with its reason.
    """
    layers: list[Layer] = []
    refused: list[Unquantized] = []
    for node in graph.nodes:
        if op_info(node.op, node.domain).kind is OpClass.LAYER:
            found = _layer(node)
            (layers if isinstance(found, Layer) else refused).append(found)  # type: ignore[arg-type]
        refused.extend(_nested(node))
    return tuple(layers), tuple(refused)


def _layer(node: gs.Node) -> Layer | Unquantized:
    if node.op in GATES:
        return _recurrent(node)
    act, second = node.inputs[0], node.inputs[1]
    bias = node.inputs[2] if len(node.inputs) > 2 and node.inputs[2].name else None
    reason = _obstacle(node, act, second, bias)
    if reason:
        return Unquantized(node.name, node.op, reason)
    computed = isinstance(second, gs.Variable)
    weight, rhs = (None, second) if computed else (second, None)
    return Layer(node.name, node.op, node, act, weight, rhs, bias)


def _recurrent(node: gs.Node) -> Layer | Unquantized:
    reason = single_obstacle(node)
    if reason:
        return Unquantized(node.name, node.op, reason)
    act, weight, hidden = node.inputs[0], node.inputs[1], node.inputs[HIDDEN_WEIGHT]
    return Layer(node.name, node.op, node, act, weight, None, None, hidden)


def _obstacle(  # noqa: PLR0911 - one return per reason
    node: gs.Node, act: gs.Tensor, second: gs.Tensor, bias: gs.Tensor | None
) -> str:
    if isinstance(act, gs.Constant):
        return "its activation input is a constant"
    if any(tensor.inputs and tensor.inputs[0].op == "DequantizeLinear" for tensor in (act, second)):
        return QUANTIZED
    if isinstance(second, gs.Variable) and node.op != "MatMul":
        return "its weights are computed at run time"
    if bias is not None and not isinstance(bias, gs.Constant):
        return "its bias is computed at run time"
    if node.op == "Gemm" and (reason := _gemm_obstacle(node)):
        return reason
    if bias is not None and len(bias.shape) != 1:
        return f"its bias has rank {len(bias.shape)}; rank 1 is supported"
    if node.op == "MatMul" and isinstance(second, gs.Constant) and len(second.shape) != 2:
        return f"MatMul with a constant of rank {len(second.shape)}; rank 2 is supported"
    others = [tensor for tensor in (act, second) if tensor.dtype != np.float32]
    if others:
        return f"{others[0].name} is {others[0].dtype}; float32 is supported"
    return misfit(node, act, second) if isinstance(second, gs.Constant) else ""


def _gemm_obstacle(node: gs.Node) -> str:
    if node.attrs.get("transA", 0):
        return "Gemm with a transposed activation"
    if node.attrs.get("alpha", 1.0) != 1.0 or (len(node.inputs) > 2 and node.attrs.get("beta", 1.0) != 1.0):
        return "Gemm with alpha or beta other than 1; canonicalize folds them where it can"
    return ""


def _nested(node: gs.Node) -> Iterator[Unquantized]:
    for value in node.attrs.values():
        for body in value if isinstance(value, list) else [value]:
            if isinstance(body, gs.Graph):
                for inner in body.nodes:
                    if op_info(inner.op, inner.domain).kind is OpClass.LAYER:
                        reason = f"inside the body of {node.op} {node.name}"
                        yield Unquantized(inner.name or inner.op, inner.op, reason)
                    yield from _nested(inner)


def static_shape(tensor: gs.Tensor, sizes: TensorShapes = NO_SIZES) -> tuple[int, ...] | None:
    """Return the shape with symbolic sizes counted as one, or ``None`` when the rank is unknown.

    Args:
        tensor: of the graph.
        sizes: shapes by tensor name, which count where they are there.
    """
    if tensor.name in sizes:
        return sizes[tensor.name]
    return None if tensor.shape is None else tuple(_static(dim) for dim in tensor.shape)


def _static(dim: int | str | None) -> int:
    if isinstance(dim, str) and dim:
        return Extent.parse(dim).factor * DYNAMIC_BATCH
    return dim if isinstance(dim, int) and dim > 0 else DYNAMIC_BATCH


def elements(tensor: gs.Tensor, sizes: TensorShapes = NO_SIZES) -> int:
    """Return the number of elements per sample (symbolic dimensions count once; unknown rank counts 1)."""
    return prod(static_shape(tensor, sizes) or (1,))


def weight_matrix(layer: Layer, weight: NDArray[_Scalar]) -> NDArray[_Scalar]:
    """Arrange a weight in ONNX layout as (groups, output channels per group, depth).

    Depth runs over input channels, then kernel positions, as the patches of the observers do. The matrix of a
    ConvTranspose multiplies windows of its input with zeros between the elements
    (`passes.execution.stuffed`); one output element has a term for some kernel positions only.
    """
    if layer.recurrent:
        return weight
    if layer.op == "Conv":
        return weight.reshape(layer.groups, weight.shape[0] // layer.groups, -1)
    if layer.op == "ConvTranspose":
        inputs, outputs = weight.shape[0] // layer.groups, weight.shape[1]
        split = weight.reshape(layer.groups, inputs, outputs, -1)
        return split.swapaxes(1, 2).reshape(layer.groups, outputs, -1)
    return (weight if layer.channel_axis == 0 else weight.T)[None]


def matrix_weight(layer: Layer, matrix: NDArray[_Scalar]) -> NDArray[_Scalar]:
    """Arrange what `weight_matrix` gave in ONNX layout again."""
    shape = layer.weight.shape  # type: ignore[union-attr]
    if layer.op == "ConvTranspose":
        split = matrix.reshape(layer.groups, shape[1], shape[0] // layer.groups, -1)
        return split.swapaxes(1, 2).reshape(shape)
    whole = layer.op == "Conv" or layer.recurrent or layer.channel_axis == 0
    return matrix.reshape(shape) if whole else matrix[0].T
