"""Makes a float graph and the quantization read out of a model fit together, without a change of values.

Integers ask for more than values behind Q/DQ pairs do: what only moves codes keeps their scale, a clamp is
the saturation of the operator before it, and a layer in floating point reads floats. Where a model has it
otherwise, a node without effect on floats makes room for one more quantizer: a Clip without bounds where
values are rounded again, an Identity where they are not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx_graphsurgeon as gs

from passes.ir.kinds import act_inputs, node_kind
from passes.ir.ops import OpClass, op_info
from passes.ir.setup import quantizer_setup

if TYPE_CHECKING:
    from collections.abc import Callable

    from passes.ir.plan import TensorQuant
    from passes.ir.setup import QuantizerSetup

    Acts = dict[str, TensorQuant]


def align(graph: gs.Graph, acts: Acts) -> QuantizerSetup:
    """Fill in quantizers that change nothing, and make room for those that do; return the setup of it all.

    Args:
        graph: a float graph; it is changed.
        acts: quantization of its activations; entries are added.
    """
    setup = quantizer_setup(graph)
    _spread_back(graph, setup, acts)
    _spread_on(graph, setup, acts)
    steps: tuple[Callable[[gs.Graph, QuantizerSetup, Acts], bool], ...] = (_moves, _clamps)
    for step in steps:
        if step(graph, setup, acts):
            setup = quantizer_setup(graph.toposort())
    _drop_repeats(graph, setup, acts)
    return setup


def detach(graph: gs.Graph, floats: frozenset[str]) -> None:
    """Let layers that a plan keeps in floating point read quantized activations all the same.

    Args:
        graph: it is changed.
        floats: names of layers that stay in floating point, of which an operand is quantized.
    """
    for node in [it for it in graph.nodes if it.name in floats]:
        for index, tensor in enumerate(list(node.inputs)):
            if isinstance(tensor, gs.Variable) and tensor.name:
                node.inputs[index] = _behind(graph, tensor, f"{node.name}.{index}.read", "Identity")
    graph.toposort()


def _spread_back(graph: gs.Graph, setup: QuantizerSetup, acts: Acts) -> None:
    """Round before values are moved rather than after, where nothing else reads them."""
    leaving = {tensor.name for tensor in graph.outputs}
    for node in reversed(_movers(graph, setup)):
        quant = acts.get(node.outputs[0].name)
        for tensor in act_inputs(node, op_info(node.op)):
            if quant is not None and len(tensor.outputs) == 1 and tensor.name not in leaving:
                acts.setdefault(tensor.name, quant)


def _spread_on(graph: gs.Graph, setup: QuantizerSetup, acts: Acts) -> None:
    """Say of moved values that they are on the grid of what they were before."""
    members = setup.group_of()
    for node in _movers(graph, setup):
        name = node.outputs[0].name
        quants = [acts.get(tensor.name) for tensor in act_inputs(node, op_info(node.op))]
        if (
            name in members
            and name not in acts
            and quants[0] is not None
            and quants.count(quants[0]) == len(quants)
        ):
            acts[name] = quants[0]


def _drop_repeats(graph: gs.Graph, setup: QuantizerSetup, acts: Acts) -> None:
    """Leave out the second of two equal roundings where values are only moved, in floating point."""
    members = setup.group_of()
    for node in reversed(graph.nodes):
        if node.name in setup.nodes or node_kind(node) is not OpClass.MOVE or len(node.outputs) != 1:
            continue
        name = node.outputs[0].name
        operands = [acts.get(tensor.name) for tensor in act_inputs(node, op_info(node.op))]
        if (
            name in acts
            and name not in members
            and operands
            and set(operands) == {acts[name]}
            and _selects(node)
        ):
            del acts[name]


def _movers(graph: gs.Graph, setup: QuantizerSetup) -> list[gs.Node]:
    moving = [it for it in graph.nodes if it.name in setup.nodes and node_kind(it) is OpClass.MOVE]
    return [it for it in moving if _selects(it)]


def _selects(node: gs.Node) -> bool:
    """Tell whether all that a mover writes is zero or something that it read."""
    return node.op != "Pad" or len(node.inputs) < 3 or not _fills(node.inputs[2])


def _fills(value: gs.Tensor) -> bool:
    """Tell whether a Pad fills in something other than zero."""
    return bool(value.name) and not (isinstance(value, gs.Constant) and not np.any(value.values))


def _moves(graph: gs.Graph, setup: QuantizerSetup, acts: Acts) -> bool:
    """Round again where what is moved has other numbers before than after."""
    changed = False
    for node in _movers(graph, setup):
        out = node.outputs[0]
        operands, quant = act_inputs(node, op_info(node.op)), acts.get(out.name)
        other = [it for it in operands if quant is not None and acts.get(it.name) not in (None, quant)]
        if quant is None or not other:
            continue
        changed = True
        if len(operands) == 1:
            acts[_ahead(graph, node, out).name] = acts[operands[0].name]
            continue
        for tensor in other:
            places = [index for index, it in enumerate(node.inputs) if it is tensor]
            made = _behind(graph, tensor, f"{tensor.name}.for.{node.name}", "Clip")
            acts[made.name] = quant
            for index in places:
                node.inputs[index] = made
    return changed


def _clamps(graph: gs.Graph, setup: QuantizerSetup, acts: Acts) -> bool:
    """Keep a clamp apart from its operator where what stands between them is quantized."""
    nodes = {node.name: node for node in graph.nodes}
    changed = False
    for name, clamp in setup.fused.items():
        tensor = nodes[name].outputs[0]
        if tensor.name in acts:
            made = _behind(graph, tensor, f"{tensor.name}.unfused", "Identity")
            acts[made.name] = acts[tensor.name]
            nodes[clamp].inputs[0] = made
            changed = True
    return changed


def _behind(graph: gs.Graph, tensor: gs.Variable, name: str, op: str) -> gs.Variable:
    """Add a node that reads a tensor; return what it writes."""
    name = _fresh(graph, name)
    made = gs.Variable(name, tensor.dtype, tensor.shape)
    graph.nodes.append(gs.Node(op, name, inputs=[tensor], outputs=[made]))
    return made


def _ahead(graph: gs.Graph, node: gs.Node, out: gs.Variable) -> gs.Variable:
    """Add a Clip between a node and what it writes; return what the node then writes."""
    name = _fresh(graph, f"{out.name}.moved")
    made = gs.Variable(name, out.dtype, out.shape)
    node.outputs = [made]
    graph.nodes.append(gs.Node("Clip", f"{name}.requantize", inputs=[made], outputs=[out]))
    return made


def _fresh(graph: gs.Graph, name: str) -> str:
    taken = graph.tensors().keys() | {node.name for node in graph.nodes}
    while name in taken:
        name = f"{name}.again"
    return name
