"""Where quantizers stand: which tensors become integers, which must share parameters, what stays float.

The rules, in the order they are applied:

1. a Relu or Clip that alone reads the result of a layer or of arithmetic is fused: its bounds become the
   saturation of that operator, and the tensor between them is never quantized;
2. operators that only move codes tie their output to their input (one scale, one zero point), and so does
   Concat with all of its inputs;
3. layers are integer, but for those that a plan keeps in floating point (`QuantizerSetup.fit`); arithmetic,
   unary functions and methods (normalizations, arithmetic with constants) are, when everything they read
   comes from integer operators, inputs or layers so kept, and something integer reads them; arithmetic and
   functions also as results of the model (a final Softmax stays float);
4. a tensor is quantized when an integer operator reads it. Results of the model leave in the precision of
   their accumulators, which costs nothing and spares ties between almost equal classes.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import networkx as nx
import numpy as np
import onnx_graphsurgeon as gs

from passes.ir.integer_graph import IntegerGraph
from passes.ir.kinds import act_inputs, data_inputs, hiding, node_kind
from passes.ir.layers import Layer, Unquantized, find_layers
from passes.ir.legality import obey
from passes.ir.ops import OpClass, op_info
from passes.ir.tensor_groups import (
    STREAM_BITS,
    TensorGroup,
    observed,
    quantized_tensors,
    tie_groups,
    with_wide_stream,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from hwmodels import HardwareModel, Rules

BY_PLAN = "the plan keeps it in floating point"
_WITH_CONSTANTS = (OpClass.METHOD, OpClass.UNARY)
"""Operators of which an operand may be constant."""
_TAIL_OPS = frozenset({"Softmax", "LogSoftmax", "ArgMax", "Identity", "Cast"})


@dataclass(frozen=True, slots=True)
class QuantizerSetup:
    """The quantizable part of a graph.

    Attributes:
        layers: layers that will be quantized.
        groups: tie groups of quantized activations, in graph order.
        fused: name of the clamp node that each fused operator absorbs, by node name.
        nodes: names of all nodes that run on integers.
        unquantized: nodes that stay float, with the reason.
        rules: what the target accepts for each layer, by name.
        floats: layers whose activations stay in floating point because a plan wants it; weights of fewer bits
            are stored as integers and multiplied as floats.
    """

    layers: tuple[Layer, ...]
    groups: tuple[TensorGroup, ...]
    fused: dict[str, str]
    nodes: frozenset[str]
    unquantized: tuple[Unquantized, ...]
    rules: Mapping[str, Rules]
    floats: tuple[Layer, ...] = ()
    _source: tuple[gs.Graph, HardwareModel | None] | None = field(default=None, compare=False, repr=False)

    @property
    def stored(self) -> tuple[Layer, ...]:
        """Layers whose weights are integers or may be, those in floating point after the others."""
        return (*self.layers, *self.floats)

    def fit(self, floats: Collection[str]) -> QuantizerSetup:
        """Return the setup when the layers of these names, beside those here, stay in floating point.

        Results of such layers may be quantized, for integer operators that read them beside others. What is
        moved in floating point then and quantized behind has the range of what it was before.
        """
        kept = frozenset(floats) - {layer.name for layer in self.floats}
        if not kept or self._source is None:
            return self
        found = quantizer_setup(*self._source, kept | {layer.name for layer in self.floats})
        return replace(found, groups=observed(found.groups, self.group_of()))

    def group_of(self) -> dict[str, TensorGroup]:
        """Return the group of every quantized tensor, by tensor name."""
        return {member: group for group in self.groups for member in group.members}


def quantizer_setup(
    graph: gs.Graph, target: HardwareModel | None = None, floats: Collection[str] = ()
) -> QuantizerSetup:
    """Decide which tensors of a graph are quantized and which of them share parameters.

    Args:
        graph: a graph in topological order with unique node names.
        target: the machine; layers that it does not run stay float. Without one, everything runs.
        floats: names of layers that stay float although the target runs them.

    Returns:
        The setup; it is empty when nothing can be quantized.
    """
    found, refused = find_layers(graph)
    layers, rules, rejected = obey(found, target)
    kept = tuple(layer for layer in layers if layer.name in floats)
    layers = tuple(layer for layer in layers if layer.name not in floats)
    refused = (*refused, *rejected, *(Unquantized(layer.name, layer.op, BY_PLAN) for layer in kept))
    fused = _fused_clamps(graph)
    leaving = _leaving_tensors(graph)
    entries = {name for layer in kept for name in (layer.name, fused.get(layer.name, ""))}
    nodes = _integer_nodes(graph, {layer.name for layer in layers}, leaving, entries)
    fused = {name: clamp for name, clamp in fused.items() if name in nodes and clamp in nodes}
    tied_ops = target.shared_parameter_ops if target is not None else frozenset[str]()
    members = quantized_tensors(graph, nodes, fused, leaving)
    groups = tie_groups(graph, layers, nodes, members, tied_ops, leaving)
    if any(pair.act_bits == STREAM_BITS for found in rules.values() for pair in found.precisions):
        register_bits = min(found.wide_accumulator_bits for found in rules.values())
        groups = with_wide_stream(groups, graph, nodes, register_bits)
    unquantized = (*refused, *_float_nodes(graph, nodes, refused))
    return QuantizerSetup(layers, groups, fused, frozenset(nodes), unquantized, rules, kept, (graph, target))


def layer_dag(graph: gs.Graph) -> nx.DiGraph[str]:
    """Return the graph of nodes: an edge where one node reads what another writes."""
    dag: nx.DiGraph[str] = nx.DiGraph()
    producer = {tensor.name: node.name for node in graph.nodes for tensor in node.outputs}
    for node in graph.nodes:
        dag.add_node(node.name, op=node.op)
        dag.add_edges_from((producer[t.name], node.name) for t in node.inputs if t.name in producer)
    return dag


def _fused_clamps(graph: gs.Graph) -> dict[str, str]:
    outputs = {tensor.name for tensor in graph.outputs}
    fused = {}
    for node in graph.nodes:
        if node_kind(node) not in (OpClass.LAYER, OpClass.ARITHMETIC):
            continue
        result = node.outputs[0]
        if len(result.outputs) == 1 and result.name not in outputs:
            reader = result.outputs[0]
            if node_kind(reader) is OpClass.CLAMP:
                fused[node.name] = reader.name
    return fused


def _leaving_tensors(graph: gs.Graph) -> set[str]:
    """Return tensors that are results of the model, seen through movers and a final Softmax."""
    leaving = {tensor.name for tensor in graph.outputs}
    for node in reversed(graph.nodes):
        if op_info(node.op, node.domain).kind is not OpClass.MOVE and node.op not in _TAIL_OPS:
            continue
        if all(tensor.name in leaving for tensor in node.outputs):
            read = node.inputs if node.op == "Cast" else act_inputs(node, op_info(node.op, node.domain))
            leaving |= {t.name for t in read if _all_leave(t, leaving)}
    return leaving


def _all_leave(tensor: gs.Variable, leaving: set[str]) -> bool:
    return all(output.name in leaving for reader in tensor.outputs for output in reader.outputs)


def _integer_nodes(graph: gs.Graph, layers: set[str], leaving: set[str], entries: set[str]) -> set[str]:
    """Return the nodes that run on integers: the largest set in which every rule of the module holds.

    Results of `entries`, which do not, are quantized beside those of operators that do.
    """
    if entries and not layers:
        return set()
    nodes = {node.name: node for node in graph.nodes if node.name not in entries}
    integers = IntegerGraph(graph)
    chosen = {name for name, node in nodes.items() if name in layers or _eligible(node, integers)}
    while True:
        dropped = {name for name in chosen - layers if not _stays(nodes[name], chosen, entries, leaving)}
        if not dropped:
            return chosen
        chosen -= dropped


def _eligible(node: gs.Node, integers: IntegerGraph) -> bool:
    info, kind = op_info(node.op, node.domain), node_kind(node)
    if kind in (OpClass.FLOAT, OpClass.LAYER) or len(node.outputs) != 1:
        return False
    if kind is OpClass.SOURCE:
        return integers.enters(node)
    data = data_inputs(node, info)
    if not data or any(tensor.dtype != np.float32 for tensor in (*data, node.outputs[0])):
        return False
    if kind is OpClass.MASK:
        return integers.computes(node.inputs[0])
    constants = sum(isinstance(tensor, gs.Constant) for tensor in data)
    if constants and (kind not in _WITH_CONSTANTS or constants == len(data)):
        return False
    return integers.can_set(node, node.inputs[len(data) :])


def _stays(node: gs.Node, chosen: set[str], entries: set[str], leaving: set[str]) -> bool:
    producers = {tensor.inputs[0].name for tensor in act_inputs(node, op_info(node.op)) if tensor.inputs}
    fed = producers <= chosen | entries and not (producers and producers <= entries)
    result, mask = node.outputs[0], hiding(node)
    read = any(reader.name in chosen for reader in result.outputs)
    if mask is not None and mask.name not in chosen:
        return False
    may_leave = node_kind(node) not in (OpClass.MOVE, OpClass.METHOD, OpClass.SOURCE)
    return fed and (read or (result.name in leaving and may_leave))


def _float_nodes(graph: gs.Graph, nodes: set[str], refused: tuple[Unquantized, ...]) -> list[Unquantized]:
    known = {entry.name for entry in refused}
    found = []
    for node in graph.nodes:
        if node.name in nodes or node.name in known or node.op == "Constant":
            continue
        if any(tensor.dtype == np.float32 for tensor in node.outputs):
            found.append(Unquantized(node.name, node.op, _reason(node)))
    return found


def _reason(node: gs.Node) -> str:
    if node_kind(node) is OpClass.FLOAT:
        return f"{node.op} has no integer form"
    info = op_info(node.op, node.domain)
    if any(isinstance(tensor, gs.Constant) for tensor in data_inputs(node, info)):
        return "one of its operands is a constant"
    return "it stands between floating-point operators"
