"""What happens to activations between the layers: operators without products, conversions of precision."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import onnx_graphsurgeon as gs

from hwmodels import Elementwise, ElementwiseStep
from passes.analysis.sizes import Sizes
from passes.api import Analysis, Aspect, PassContext
from passes.ir.kinds import act_inputs
from passes.ir.layers import elements
from passes.ir.ops import op_info
from passes.ir.setup import quantizer_setup

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from passes.ir.layers import Layer, TensorShapes
    from passes.ir.model import Model

FLOAT_BITS = 32
"""Width of what the caller hands over, of what operators in floating point write, and of results."""


@dataclass(frozen=True, slots=True)
class Between:
    """Elementwise work, and whose bits decide what it reads and writes.

    Attributes:
        work: the operator or conversion.
        source: tensor group that it reads, or ``None`` for floating point.
        sink: tensor group that it writes, or ``None`` for floating point.
    """

    work: Elementwise
    source: str | None
    sink: str | None

    def at(self, bits: Mapping[str, int]) -> ElementwiseStep:
        """Return the work at the bits of the groups, by name."""
        read, written = (FLOAT_BITS if name is None else bits[name] for name in (self.source, self.sink))
        return ElementwiseStep(self.work, read, written)


@dataclass(frozen=True)
class BetweenLayers(Analysis[tuple[Between, ...]]):
    """List elementwise work in graph order.

    A layer writes at the width at which it reads, its own; where the next reader wants another width, the
    tensor is converted. An operator with several operands works at the width of its result, to which each
    operand is converted. Views move nothing; layers that stay in floating point are not priced.
    """

    name: ClassVar[str] = "between"
    reads: ClassVar[Aspect] = Aspect.GRAPH

    def run(self, model: Model, ctx: PassContext) -> tuple[Between, ...]:
        """Walk the graph."""
        setup, sizes = quantizer_setup(model.graph, ctx.target), ctx.get(Sizes(), model)
        walk = _Walk(
            {member: it.name for it in setup.groups for member in it.members},
            {layer.name: layer for layer in setup.layers},
            sizes,
        )
        nodes = {node.name: node for node in model.graph.nodes}
        found = [
            walk.conversion(tensor, None, walk.group[tensor.name])
            for tensor in model.graph.inputs
            if tensor.name in walk.group
        ]
        for node in model.graph.nodes:
            if node.name not in setup.fused.values():
                found.extend(walk.work(node, nodes[setup.fused.get(node.name, node.name)].outputs[0]))
        return tuple(found)


@dataclass(frozen=True, slots=True)
class _Walk:
    """What is known about every node on the way: groups by tensor, layers by node, shapes by tensor."""

    group: Mapping[str, str]
    layers: Mapping[str, Layer]
    sizes: TensorShapes

    def work(self, node: gs.Node, result: gs.Variable) -> Iterator[Between]:
        sink, layer = self.group.get(result.name), self.layers.get(node.name)
        if layer is not None:
            yield self.conversion(result, self.group[layer.act.name], sink)
            return
        operands = act_inputs(node, op_info(node.op, node.domain))
        if not operands or not _elementwise(node):
            return
        read, written = [elements(tensor, self.sizes) for tensor in operands], elements(result, self.sizes)
        selects = op_info(node.op, node.domain).selects
        work = Elementwise(node.name, node.op, written if selects else sum(read), written)
        sources = [self.group.get(tensor.name) for tensor in operands]
        if len(operands) == 1:
            yield Between(work, sources[0], sink)
            return
        yield Between(work, sink, sink)
        for tensor, source in zip(operands, sources, strict=True):
            if source != sink:
                yield self.conversion(tensor, source, sink)

    def conversion(self, tensor: gs.Variable, source: str | None, sink: str | None) -> Between:
        return Between(Elementwise.conversion(tensor.name, elements(tensor, self.sizes)), source, sink)


def _elementwise(node: gs.Node) -> bool:
    """Tell whether a node is priced by what it reads and writes: no view, no layer, no body of its own."""
    heavy = op_info(node.op, node.domain).weight_input is not None
    nested = any(isinstance(value, gs.Graph) for value in node.attrs.values())
    floats = all(tensor.dtype == np.float32 for tensor in node.outputs)
    return floats and not (heavy or nested or op_info(node.op, node.domain).view)
