"""`View`: a graph as the rules see it, by tensor names; weights are never unpacked."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from passes.ir.nested import inner_graphs
from passes.ir.onnx_io import opset_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

STANDARD = ("", "ai.onnx")
_QUANTIZERS = (*STANDARD, "com.microsoft")
MAX_CONSTANT = 1 << 16
"""Elements of the largest constant whose values are looked at: scales and zero points, not weights."""


@dataclass
class View:
    """One graph of a model, with what it sees of the graphs around it.

    Attributes:
        model: the whole model.
        graph: the graph.
        outer: the graph around it; ``None`` for that of the model.
    """

    model: onnx.ModelProto
    graph: onnx.GraphProto
    outer: View | None = None
    producers: dict[str, onnx.NodeProto] = field(init=False)
    readers: dict[str, list[onnx.NodeProto]] = field(init=False)
    stored: dict[str, onnx.TensorProto] = field(init=False)

    def __post_init__(self) -> None:
        """Index the graph."""
        self.producers, self.readers = {}, {}
        self.stored = {tensor.name: tensor for tensor in self.graph.initializer}
        for node in self.graph.node:
            for name in node.output:
                self.producers[name] = node
            for name in (*node.input, *_captured(node)):
                self.readers.setdefault(name, []).append(node)
            if node.op_type == "Constant" and node.output:
                self.stored.update((node.output[0], it.t) for it in node.attribute if it.HasField("t"))

    @cached_property
    def outputs(self) -> frozenset[str]:
        """Names of the results of the graph."""
        return frozenset(value.name for value in self.graph.output)

    @cached_property
    def inputs(self) -> frozenset[str]:
        """Names of what is fed to the graph."""
        return frozenset(value.name for value in self.graph.input)

    @cached_property
    def opset(self) -> int:
        """Version of the default domain."""
        return opset_of(self.model)

    def views(self) -> Iterator[View]:
        """Yield this view and those of all nested graphs."""
        yield self
        for node in self.graph.node:
            for graph in inner_graphs(node):
                yield from View(self.model, graph, self).views()

    def ops(self, *names: str) -> Iterator[onnx.NodeProto]:
        """Yield the nodes of some standard operators."""
        return (node for node in self.graph.node if node.op_type in names and node.domain in STANDARD)

    def initializer(self, name: str) -> onnx.TensorProto | None:
        """Return a stored tensor, of this graph or one around it."""
        if name in self.stored:
            return self.stored[name]
        hidden = name in self.producers or name in self.inputs or self.outer is None
        return None if hidden else self.outer.initializer(name)  # type: ignore[union-attr]

    def values(self, name: str) -> NDArray[np.float64] | None:
        """Return a small constant in floating point; ``None`` where none can be read."""
        tensor = self.initializer(name) if name else None
        if tensor is None or tensor.data_location == tensor.EXTERNAL or prod(tensor.dims) > MAX_CONSTANT:
            return None
        try:
            return numpy_helper.to_array(tensor).astype(np.float64)
        # The file may say anything.
        except (ValueError, TypeError, KeyError, AttributeError):
            return None

    def only_reader(self, name: str) -> onnx.NodeProto | None:
        """Return the one node that reads a tensor, if there is just one and the tensor is no result."""
        readers = self.readers.get(name, [])
        return readers[0] if len(readers) == 1 and name not in self.outputs else None

    def dequantize(self, name: str) -> onnx.NodeProto | None:
        """Return the DequantizeLinear that writes a tensor."""
        node = self.producers.get(name)
        return node if node is not None and is_dequantize(node) else None

    def codes_type(self, node: onnx.NodeProto) -> int:
        """Return the element type of the codes of a QuantizeLinear or DequantizeLinear; 0 where unknown."""
        zero = self.initializer(input_name(node, 2))
        if zero is not None:
            return zero.data_type
        if is_quantize(node):
            return int(attribute(node, "output_dtype", 0)) or onnx.TensorProto.UINT8
        codes = self.initializer(input_name(node, 0))
        maker = self.producers.get(input_name(node, 0))
        if codes is not None:
            return codes.data_type
        return self.codes_type(maker) if maker is not None and is_quantize(maker) else 0


def _captured(node: onnx.NodeProto) -> set[str]:
    """Return the tensors that the graphs inside a node read, with those that they make themselves."""
    inner = [it for graph in inner_graphs(node) for it in graph.node]
    return {name for it in inner for name in (*it.input, *_captured(it))}


def is_quantize(node: onnx.NodeProto) -> bool:
    """Tell whether a node is a QuantizeLinear, of ONNX or of com.microsoft."""
    return node.op_type == "QuantizeLinear" and node.domain in _QUANTIZERS


def is_dequantize(node: onnx.NodeProto) -> bool:
    """Tell whether a node is a DequantizeLinear, of ONNX or of com.microsoft."""
    return node.op_type == "DequantizeLinear" and node.domain in _QUANTIZERS


def input_name(node: onnx.NodeProto, index: int) -> str:
    """Return the name of an input; empty where the node has none there."""
    return node.input[index] if index < len(node.input) else ""


def output_name(node: onnx.NodeProto) -> str:
    """Return the name of the first output; empty where the node has none."""
    return node.output[0] if node.output else ""


def attribute(node: onnx.NodeProto, name: str, default: Any) -> Any:
    """Return the value of an attribute if it has the type of the default, else the default."""
    for entry in node.attribute:
        if entry.name == name:
            value = helper.get_attribute_value(entry)
            return value if isinstance(value, type(default)) else default
    return default
