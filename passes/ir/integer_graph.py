"""The integers beside the activations: token ids, masks, and settings that depend on the size of an input."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import onnx_graphsurgeon as gs

from passes.ir.extent import Extent
from passes.ir.known_integers import front_cut, known_integers, known_value

if TYPE_CHECKING:
    from collections.abc import Iterable

    from passes.ir.known_integers import Values

INDEX_TYPES = (np.int64, np.int32, np.bool_)
"""Element types that an integer program can take in as they are."""
_MOVERS = frozenset(
    {"Reshape", "Unsqueeze", "Squeeze", "Transpose", "Flatten", "Identity", "Expand", "Slice"}
)


@dataclass(frozen=True, slots=True)
class Length:
    """The size of one axis of an input, which is known at run time only."""

    tensor: str
    axis: int


class IntegerGraph:
    """What is known in advance of the integers of a graph, and what can be had beside the activations."""

    def __init__(self, graph: gs.Graph) -> None:
        """Evaluate what depends on shapes only; the graph is in topological order."""
        self.known: Values = known_integers(graph)
        self._inputs = {tensor.name: tensor for tensor in graph.inputs}

    def lengths(self, extents: Iterable[object]) -> tuple[Length | None, ...] | None:
        """Say where each symbolic extent can be read off; ``None`` in place of a number.

        Returns:
            One entry per extent, all of one input; or ``None`` where no input has all of them.
        """
        wanted = [str(extent) if isinstance(extent, Extent) else None for extent in extents]
        for name, tensor in self._inputs.items():
            shape = list(tensor.shape or [])
            if all(extent is None or extent in shape for extent in wanted):
                return tuple(None if it is None else Length(name, shape.index(it)) for it in wanted)
        return None

    def can_set(self, node: gs.Node, settings: Iterable[gs.Tensor]) -> bool:
        """Tell whether settings that are computed can be had: the end of a Slice, the target of a Reshape."""
        computed = [tensor for tensor in settings if isinstance(tensor, gs.Variable) and tensor.name]
        if not computed:
            return True
        value = known_value(node.inputs[{"Slice": 2, "Reshape": 1}.get(node.op, 0)], self.known)
        if node.op not in ("Slice", "Reshape") or len(computed) != 1 or value is None:
            return False
        if self.lengths(value) is None:
            return False
        return node.op == "Reshape" or front_cut(node, self.known) is not None

    def computes(self, tensor: gs.Tensor) -> bool:
        """Tell whether integers or truth values come from inputs and constants by moves and casts alone."""
        if isinstance(tensor, gs.Constant):
            return bool(tensor.dtype in INDEX_TYPES)
        if not tensor.inputs:
            return tensor.name in self._inputs and tensor.dtype in INDEX_TYPES
        node = tensor.inputs[0]
        if node.op == "Cast":
            source = node.inputs[0]
            widens = source.dtype == np.bool_ and tensor.dtype != np.bool_
            return tensor.dtype in INDEX_TYPES and not widens and self.computes(source)
        return node.op in _MOVERS and self.can_set(node, node.inputs[1:]) and self.computes(node.inputs[0])

    def enters(self, node: gs.Node) -> bool:
        """Tell whether a source of activations reads a float table, and integers that can be had."""
        if node.op == "Cast":
            return self.computes(node.inputs[0])
        table = node.inputs[0]
        if table.dtype != np.float32 or (node.op == "Gather" and len(table.shape) != 2):
            return False
        return self.computes(node.inputs[1]) if node.op == "Gather" else self.can_set(node, node.inputs[1:])
