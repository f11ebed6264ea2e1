"""`Emission`: what an emitter adds to a model, and how it gets there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import onnx
from onnx.helper import make_opsetid

from passes.ir.nested import inner_graphs
from passes.ir.onnx_io import MAX_IR, opset_of
from passes.ir.opsets import raise_opset
from passes.lowering.encoding import PER_CHANNEL_OPSET
from passes.lowering.made_names import made, settle_names


@dataclass
class Emission:
    """The parts that an emitter adds to a model."""

    nodes: dict[str, list[onnx.NodeProto]] = field(default_factory=dict)
    """New nodes, by the tensor after whose producer they stand (``""``: at the start)."""
    initializers: list[onnx.TensorProto] = field(default_factory=list)
    renamed: dict[str, str] = field(default_factory=dict)
    """What readers of a tensor read instead."""
    added_inputs: dict[str, str] = field(default_factory=dict)
    """Bias to append to the inputs of a node that has none, by node name."""
    replaced: dict[str, Callable[[onnx.NodeProto], list[onnx.NodeProto]]] = field(default_factory=dict)
    """What makes the nodes that stand in place of one, by its name; their last has the same name."""
    own: dict[str, dict[str, str]] = field(default_factory=dict)
    """What single nodes read instead, in place of `renamed`: those in floating point between integer ones."""
    domains: set[str] = field(default_factory=set)
    """Domains of operators beyond those of ONNX, of which version 1 is meant."""
    opset: int = PER_CHANNEL_OPSET

    def at(self, tensor: str) -> list[onnx.NodeProto]:
        """Return the new nodes behind a tensor, to add to."""
        return self.nodes.setdefault(tensor, [])


def assemble(proto: onnx.ModelProto, emission: Emission) -> onnx.ModelProto:
    """Put the new nodes in their places and let readers read them.

    Args:
        proto: the model that the emission was made for; it is changed.
        emission: what to add.
    """
    if opset_of(proto) < emission.opset:
        proto = raise_opset(proto, emission.opset)
    known = {entry.domain for entry in proto.opset_import}
    proto.opset_import.extend(make_opsetid(domain, 1) for domain in sorted(emission.domains - known))
    graph = proto.graph
    outputs = {output.name for output in graph.output}
    nodes = list(emission.nodes.get("", []))
    for value in graph.input:
        nodes.extend(emission.nodes.get(value.name, []))
    for node in graph.node:
        replace = emission.replaced.get(node.name)
        for placed in [node] if replace is None else replace(node):
            if placed.name in emission.added_inputs:
                del placed.input[_named_inputs(placed) :]
                placed.input.append(emission.added_inputs[placed.name])
            _redirect(placed, emission.own.get(placed.name, emission.renamed))
            nodes.append(placed)
        for name in node.output:
            nodes.extend(emission.nodes.get(name, []))
    copies = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    made_here = outputs - {value.name for value in graph.input}
    _keep_output_names(copies, made_here & emission.renamed.keys(), emission.renamed)
    del graph.node[:]
    graph.node.extend(copies)
    _replace_initializers(graph, emission)
    proto.ir_version = min(max(proto.ir_version, 7), MAX_IR)
    settle_names(graph)
    return proto


def _named_inputs(node: onnx.NodeProto) -> int:
    """Return how many inputs there are without the empty names that may stand at the end."""
    return max((index for index, name in enumerate(node.input, 1) if name), default=0)


def _redirect(node: onnx.NodeProto, renamed: dict[str, str]) -> None:
    for index, name in enumerate(node.input):
        node.input[index] = renamed.get(name, name)
    for body in inner_graphs(node):
        for inner in body.node:
            _redirect(inner, renamed)


def _keep_output_names(nodes: list[onnx.NodeProto], names: set[str], renamed: dict[str, str]) -> None:
    """Let a quantized output of the model keep its name: the value before quantization is renamed instead."""
    swap = {name: made(name, "float") for name in names} | {renamed[name]: name for name in names}
    for node in nodes:
        for index, name in enumerate(node.input):
            node.input[index] = swap.get(name, name)
        for index, name in enumerate(node.output):
            node.output[index] = swap.get(name, name)


def _replace_initializers(graph: onnx.GraphProto, emission: Emission) -> None:
    used = {name for node in graph.node for name in node.input} | {output.name for output in graph.output}
    kept = [init for init in graph.initializer if init.name not in emission.renamed or init.name in used]
    copies = [onnx.TensorProto.FromString(init.SerializeToString()) for init in kept]
    del graph.initializer[:]
    graph.initializer.extend(copies)
    graph.initializer.extend(emission.initializers)
    del graph.value_info[:]
