"""Which activations are alive when, for the peak memory of a plan."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import onnx_graphsurgeon as gs

from hwmodels import LiveTensor, Schedule, Step
from passes.analysis.between import FLOAT_BITS
from passes.analysis.sizes import Sizes
from passes.api import Analysis, Aspect, PassContext
from passes.ir.layers import elements
from passes.ir.ops import op_info
from passes.ir.setup import quantizer_setup

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from passes.ir.model import Model


@dataclass(frozen=True, slots=True)
class ActivationSchedule:
    """The schedule with every tensor in floating point, and the group of those that are quantized."""

    schedule: Schedule
    group: Mapping[str, str]

    def at(self, bits: Mapping[str, int]) -> Schedule:
        """Return the schedule at the stored bits of the groups, by name."""
        return self.schedule.with_bits({tensor: bits[name] for tensor, name in self.group.items()})


@dataclass(frozen=True)
class ActivationLives(Analysis[ActivationSchedule]):
    """Run the nodes in graph order; a fused clamp is part of its operator, a view is its input."""

    name: ClassVar[str] = "lives"
    reads: ClassVar[Aspect] = Aspect.GRAPH

    def run(self, model: Model, ctx: PassContext) -> ActivationSchedule:
        """Walk the graph."""
        graph, sizes = model.graph, ctx.get(Sizes(), model)
        setup = quantizer_setup(graph, ctx.target)
        home = _homes(graph, set(setup.fused.values()))
        tensors = {tensor.name: tensor for tensor in (*graph.inputs, *_written(graph.nodes))}
        steps = tuple(
            _step(node, home)
            for node in graph.nodes
            if not all(home.get(tensor.name, tensor.name) != tensor.name for tensor in node.outputs)
        )
        live = dict.fromkeys(name for step in steps for name in (*step.reads, *step.writes))
        described = tuple(LiveTensor(name, elements(tensors[name], sizes), FLOAT_BITS) for name in live)
        outputs = tuple(name for name in _roots(graph.outputs, home) if name in live)
        roots = {home.get(member, member): it.name for it in setup.groups for member in it.members}
        group = {root: name for root, name in roots.items() if root in live}
        return ActivationSchedule(Schedule(described, steps, outputs), group)


def _step(node: gs.Node, home: Mapping[str, str]) -> Step:
    """Return what a node reads and writes; a view of what it reads is not written."""
    reads = _roots(node.inputs, home)
    return Step(reads, tuple(name for name in _roots(node.outputs, home) if name not in reads))


def _homes(graph: gs.Graph, clamps: set[str]) -> dict[str, str]:
    """Return the tensor whose memory each tensor takes, where it is not its own."""
    home: dict[str, str] = {}
    for node in graph.nodes:
        source = node.inputs[0] if node.inputs else None
        shares = node.name in clamps or op_info(node.op, node.domain).view
        if shares and isinstance(source, gs.Variable):
            home[node.outputs[0].name] = home.get(source.name, source.name)
    return home


def _written(nodes: Iterable[gs.Node]) -> list[gs.Variable]:
    return [tensor for node in nodes for tensor in node.outputs if tensor.name]


def _roots(tensors: Iterable[gs.Tensor], home: Mapping[str, str]) -> tuple[str, ...]:
    names = (tensor.name for tensor in tensors if isinstance(tensor, gs.Variable) and tensor.name)
    return tuple(dict.fromkeys(home.get(name, name) for name in names))
