"""Writes the body of a Scan or a Loop into the graph around it, once for every step."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import onnx_graphsurgeon as gs

from passes.ir.ops import OpClass, op_info

MAX_NODES = 4096
"""Nodes that one Scan or Loop may become; a longer one stays."""
_TENSOR = "tensor_type"
"""What graphsurgeon calls values that are no sequences."""
AXES_OPSET = 13
"""Since then the axes of an Unsqueeze are an input."""


def can_be_written_out(body: gs.Graph, steps: int) -> bool:
    """Tell whether a body has tensors only, no weights and no bodies inside, and becomes few nodes."""
    plain = not any(_nests(inner) or _multiplies(inner) for inner in body.nodes)
    made = (tensor for inner in body.nodes for tensor in inner.outputs)
    tensors = all(getattr(it, "type", _TENSOR) == _TENSOR for it in (*body.inputs, *body.outputs, *made))
    return plain and tensors and 0 < steps * max(len(body.nodes), 1) <= MAX_NODES


def _nests(node: gs.Node) -> bool:
    values = (
        item for value in node.attrs.values() for item in (value if isinstance(value, list) else [value])
    )
    return any(isinstance(item, gs.Graph) for item in values)


def _multiplies(node: gs.Node) -> bool:
    return op_info(node.op, node.domain).kind is OpClass.LAYER


@dataclass
class Unrolling:
    """One node with a body on its way into the graph around it.

    Attributes:
        graph: around the node; new nodes are appended to it.
        node: its tensors are taken away, so that a cleanup removes it.
        body: what it repeats.
        inputs: what it read.
        results: what it wrote.
    """

    graph: gs.Graph
    node: gs.Node
    body: gs.Graph = field(init=False)
    inputs: list[gs.Tensor] = field(init=False)
    results: list[gs.Variable] = field(init=False)

    def __post_init__(self) -> None:
        """Take the node out, and give the constants of its body names that no other body has."""
        self.body = self.node.attrs["body"]
        self.inputs, self.results = list(self.node.inputs), list(self.node.outputs)
        self.node.inputs.clear()
        self.node.outputs.clear()
        around = {id(tensor) for other in self.graph.nodes for tensor in other.inputs}
        read = [*self.body.outputs, *(tensor for inner in self.body.nodes for tensor in inner.inputs)]
        for tensor in {id(it): it for it in read if isinstance(it, gs.Constant)}.values():
            if id(tensor) not in around:
                tensor.name = f"{self.node.name}.{tensor.name}"

    def step(self, step: int, inputs: list[gs.Tensor]) -> list[gs.Tensor]:
        """Append a copy of the body that reads these inputs; return its outputs."""
        stands = {id(own): given for own, given in zip(self.body.inputs, inputs, strict=True)}
        prefix = f"{self.node.name}.{step}"
        for place, inner in enumerate(self.body.nodes):
            given = [stands.get(id(tensor), tensor) for tensor in inner.inputs]
            for tensor in inner.outputs:
                named = f"{prefix}.{tensor.name}" if tensor.name else ""
                stands[id(tensor)] = gs.Variable(named, tensor.dtype)
            made = [stands[id(tensor)] for tensor in inner.outputs]
            # Nodes of a body need no names, and those that they have need not be unique.
            name = f"{prefix}.{place}.{inner.op}"
            self.graph.nodes.append(gs.Node(inner.op, name, dict(inner.attrs), given, made, inner.domain))
        return [stands.get(id(tensor), tensor) for tensor in self.body.outputs]

    def join(self, parts: list[gs.Tensor], axis: int, result: gs.Variable) -> None:
        """Append what stacks the results of the steps along a new axis."""
        rows = []
        axes = gs.Constant(f"{result.name}.axes", np.array([axis], np.int64))
        for step, part in enumerate(parts):
            name = f"{result.name}.{step}"
            rows.append(gs.Variable(f"{name}.row", result.dtype))
            if self.graph.opset >= AXES_OPSET:
                self.append("Unsqueeze", name, {}, [part, axes], rows[-1])
            else:
                self.append("Unsqueeze", name, {"axes": [axis]}, [part], rows[-1])
        self.append("Concat", f"{result.name}.join", {"axis": axis}, rows, result)

    def end(self, states: list[gs.Tensor]) -> None:
        """Append what hands out the last states; they are the first results."""
        for state, result in zip(states, self.results, strict=False):
            self.append("Identity", f"{result.name}.last", {}, [state], result)

    def append(
        self, op: str, name: str, attrs: dict[str, object], inputs: list[gs.Tensor], result: gs.Variable
    ) -> None:
        """Append a node."""
        self.graph.nodes.append(gs.Node(op, name, attrs, inputs, [result]))
