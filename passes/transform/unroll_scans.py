"""A Scan over few steps, whose body multiplies by no weights, is its body once for every step.

Simple recurrent units export so: their products are made for all steps before, and a step works element by
element. Written out, that has an integer form (ONNX Scan, opsets 9 to 23).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import onnx_graphsurgeon as gs

from passes.ir.ops import DEFAULT_DOMAINS, OpClass, op_info

MAX_NODES = 4096
"""Nodes that one Scan may become; a longer one stays."""
AXES_OPSET = 13
"""Since then the axes of an Unsqueeze are an input."""


def unroll_scans(graph: gs.Graph) -> int:
    """Write out every such Scan; return how many.

    Args:
        graph: changed in place; replaced nodes stay, unread, for a cleanup. New tensors have no shapes yet.
    """
    unrolled = 0
    for node in list(graph.nodes):
        steps = _steps(node) if node.op == "Scan" and (node.domain or "") in DEFAULT_DOMAINS else 0
        if steps:
            _Unrolling(graph, node).write(steps)
            unrolled += 1
    return unrolled


def _steps(node: gs.Node) -> int:
    """Return the number of steps of a Scan that can be written out; 0 for any other."""
    count = int(node.attrs.get("num_scan_inputs", 0))
    if not 0 < count <= len(node.inputs) or "body" not in node.attrs:
        return 0
    body, x = node.attrs["body"], node.inputs[-1]
    axis = (node.attrs.get("scan_input_axes") or [0])[-1]
    steps = x.shape[axis] if x.shape is not None and -len(x.shape) <= axis < len(x.shape) else 0
    plain = not any(_nests(inner) or _multiplies(inner) for inner in body.nodes)
    fits = len(body.inputs) == len(node.inputs) and len(body.outputs) == len(node.outputs)
    few = isinstance(steps, int) and 0 < steps * max(len(body.nodes), 1) <= MAX_NODES
    return steps if fits and plain and few else 0


def _nests(node: gs.Node) -> bool:
    values = (
        item for value in node.attrs.values() for item in (value if isinstance(value, list) else [value])
    )
    return any(isinstance(item, gs.Graph) for item in values)


def _multiplies(node: gs.Node) -> bool:
    return op_info(node.op, node.domain).kind is OpClass.LAYER


@dataclass
class _Unrolling:
    """One Scan on its way into the graph around it."""

    graph: gs.Graph
    node: gs.Node
    body: gs.Graph = field(init=False)

    def __post_init__(self) -> None:
        self.body = self.node.attrs["body"]
        around = {id(tensor) for other in self.graph.nodes for tensor in other.inputs}
        read = [*self.body.outputs, *(tensor for inner in self.body.nodes for tensor in inner.inputs)]
        for tensor in {id(it): it for it in read if isinstance(it, gs.Constant)}.values():
            if id(tensor) not in around:
                tensor.name = f"{self.node.name}.{tensor.name}"

    def write(self, steps: int) -> None:
        """Append all steps, and what joins their results."""
        inputs, results = list(self.node.inputs), list(self.node.outputs)
        count = int(self.node.attrs["num_scan_inputs"])
        self.node.inputs.clear()
        self.node.outputs.clear()
        states, sequences = inputs[: len(inputs) - count], inputs[len(inputs) - count :]
        rows: list[list[gs.Tensor]] = []
        for step in range(steps):
            taken = [
                self._take(x, place, steps - 1 - step if self._way("input", place) else step)
                for place, x in enumerate(sequences)
            ]
            made = self._step(step, [*states, *taken])
            states, row = made[: len(states)], made[len(states) :]
            rows.append(row)
        for place, result in enumerate(results[len(states) :]):
            parts = [row[place] for row in rows]
            self._join(parts[::-1] if self._way("output", place) else parts, place, result)
        for state, result in zip(states, results, strict=False):
            self._append("Identity", f"{result.name}.last", {}, [state], result)

    def _step(self, step: int, inputs: list[gs.Tensor]) -> list[gs.Tensor]:
        """Append a copy of the body; return its outputs."""
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
            copy = gs.Node(inner.op, name, dict(inner.attrs), given, made, inner.domain)
            self.graph.nodes.append(copy)
        return [stands.get(id(tensor), tensor) for tensor in self.body.outputs]

    def _take(self, x: gs.Tensor, place: int, at: int) -> gs.Variable:
        """Append a Gather of one step of a sequence."""
        name = f"{self.node.name}.{place}.{at}"
        index = gs.Constant(f"{name}.index", np.array(at, np.int64))
        result = gs.Variable(f"{name}.taken", x.dtype)
        self._append("Gather", f"{name}.take", {"axis": self._axis("input", place)}, [x, index], result)
        return result

    def _join(self, parts: list[gs.Tensor], place: int, result: gs.Variable) -> None:
        axis, rows = self._axis("output", place), []
        axes = gs.Constant(f"{result.name}.axes", np.array([axis], np.int64))
        for step, part in enumerate(parts):
            name = f"{result.name}.{step}"
            rows.append(gs.Variable(f"{name}.row", result.dtype))
            if self.graph.opset >= AXES_OPSET:
                self._append("Unsqueeze", name, {}, [part, axes], rows[-1])
            else:
                self._append("Unsqueeze", name, {"axes": [axis]}, [part], rows[-1])
        self._append("Concat", f"{result.name}.join", {"axis": axis}, rows, result)

    def _append(
        self, op: str, name: str, attrs: dict[str, object], inputs: list[gs.Tensor], result: gs.Variable
    ) -> None:
        self.graph.nodes.append(gs.Node(op, name, attrs, inputs, [result]))

    def _axis(self, side: str, place: int) -> int:
        axes = self.node.attrs.get(f"scan_{side}_axes")
        return int(axes[place]) if axes else 0

    def _way(self, side: str, place: int) -> bool:
        ways = self.node.attrs.get(f"scan_{side}_directions")
        return bool(ways[place]) if ways else False
