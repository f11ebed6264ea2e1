"""Traces tensors in the body of a recurrence back to affine functions of its inputs and its state."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import onnx_graphsurgeon as gs

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    Matrix = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Affine:
    """``sum(operand @ parts[operand]) + bias`` along the last axis.

    Attributes:
        parts: by operand, a matrix (size of the operand, channels).
        bias: (channels,).
    """

    parts: Mapping[str, Matrix]
    bias: Matrix

    def __add__(self, other: Affine) -> Affine:
        """Add another of as many channels."""
        parts = dict(self.parts)
        for name, matrix in other.parts.items():
            parts[name] = parts[name] + matrix if name in parts else matrix
        return Affine(parts, self.bias + other.bias)

    def times(self, matrix: Matrix) -> Affine:
        """Multiply by a matrix (channels, new channels) from the right."""
        return Affine({name: part @ matrix for name, part in self.parts.items()}, self.bias @ matrix)

    def select(self, channels: slice) -> Affine:
        """Keep some channels."""
        parts = {name: part[:, channels] for name, part in self.parts.items()}
        return Affine(parts, self.bias[channels])

    def beside(self, other: Affine) -> Affine:
        """Put the channels of another behind these."""
        left, right = len(self.bias), len(other.bias)
        grown = [
            Affine(
                {name: np.pad(part, ((0, 0), pads)) for name, part in it.parts.items()}, np.pad(it.bias, pads)
            )
            for it, pads in ((self, (0, right)), (other, (left, 0)))
        ]
        return grown[0] + grown[1]


@dataclass(frozen=True, eq=False)
class Trace:
    """What is known of the tensors of a body.

    Attributes:
        sizes: name of each operand and the length of its last axis, by the name of its tensor.
        found: what `affine` has returned, by tensor: without it, a sum of sums is walked again and again.
    """

    sizes: Mapping[str, tuple[str, int]]
    found: dict[str, Affine | None] = field(default_factory=dict)

    def affine(self, tensor: gs.Tensor) -> Affine | None:
        """Return the function that a tensor is, or ``None`` where it is no affine one."""
        if tensor.name not in self.found:
            self.found[tensor.name] = self._affine(tensor)
        return self.found[tensor.name]

    def _affine(self, tensor: gs.Tensor) -> Affine | None:
        if tensor.name in self.sizes:
            operand, size = self.sizes[tensor.name]
            return Affine({operand: np.eye(size)}, np.zeros(size))
        node = producer(tensor)
        if node is None:
            return None
        if node.op in ("Split", "Slice"):
            return self._selected(node, tensor)
        if node.op == "Add":
            return self._sum(node)
        if node.op in ("MatMul", "Gemm"):
            return self._product(node)
        return self._joined(node) if node.op == "Concat" else None

    def function(self, tensor: gs.Tensor, op: str) -> gs.Tensor | None:
        """Return the argument of the `op` of which a tensor is the result, where no channels are cut out."""
        node = producer(tensor)
        return node.inputs[0] if node is not None and node.op == op else None

    def gate(self, tensor: gs.Tensor, op: str) -> Affine | None:
        """Return the argument of ``op(affine)``, be the channels cut out before the function or behind it."""
        node = producer(tensor)
        if node is None:
            return None
        if node.op == op:
            return self.affine(node.inputs[0])
        if node.op not in ("Split", "Slice"):
            return None
        whole = self.gate(node.inputs[0], op)
        channels = None if whole is None else cut(node, tensor, len(whole.bias))
        return None if whole is None or channels is None else whole.select(channels)

    def _selected(self, node: gs.Node, tensor: gs.Tensor) -> Affine | None:
        whole = self.affine(node.inputs[0])
        channels = None if whole is None else cut(node, tensor, len(whole.bias))
        return None if whole is None or channels is None else whole.select(channels)

    def _sum(self, node: gs.Node) -> Affine | None:
        values = [constant(it) for it in node.inputs]
        terms = [self._term(it, value) for it, value in zip(node.inputs, values, strict=True)]
        first, second = sorted(terms, key=lambda term: term is None or not term.parts)
        if first is None or second is None or len(second.bias) not in (len(first.bias), 1):
            return None
        if len(second.bias) == len(first.bias):
            return first + second
        return None if second.parts else first + Affine({}, np.repeat(second.bias, len(first.bias)))

    def _term(self, tensor: gs.Tensor, value: Matrix | None) -> Affine | None:
        return self.affine(tensor) if value is None else Affine({}, value.reshape(-1))

    def _product(self, node: gs.Node) -> Affine | None:
        left, weight = self.affine(node.inputs[0]), constant(node.inputs[1])
        if left is None or weight is None or weight.ndim != 2 or node.attrs.get("transA", 0):
            return None
        weight = (weight.T if node.attrs.get("transB", 0) else weight) * node.attrs.get("alpha", 1.0)
        if len(weight) != len(left.bias):
            return None
        result = left.times(weight)
        if len(node.inputs) < 3 or not node.inputs[2].name:
            return result
        bias = constant(node.inputs[2])
        if bias is None or bias.size not in (1, len(result.bias)):
            return None
        return result + Affine(
            {}, bias.reshape(-1) * node.attrs.get("beta", 1.0) + np.zeros(len(result.bias))
        )

    def _joined(self, node: gs.Node) -> Affine | None:
        parts = [self.affine(it) for it in node.inputs]
        if node.attrs.get("axis") not in (1, -1) or len(parts) != 2 or parts[0] is None or parts[1] is None:
            return None
        return parts[0].beside(parts[1])


def producer(tensor: gs.Tensor) -> gs.Node | None:
    """Return the node that writes a tensor, seen through copies; ``None`` for inputs and constants."""
    while isinstance(tensor, gs.Variable) and len(tensor.inputs) == 1:
        node = tensor.inputs[0]
        if node.op != "Identity":
            return node
        tensor = node.inputs[0]
    return None


def constant(tensor: gs.Tensor) -> Matrix | None:
    """Return the values of a constant, or ``None`` for what is computed."""
    node = tensor.inputs[0] if isinstance(tensor, gs.Variable) and len(tensor.inputs) == 1 else None
    held = node.attrs.get("value") if node is not None and node.op == "Constant" else tensor
    return np.asarray(held.values, np.float64) if isinstance(held, gs.Constant) else None


def cut(node: gs.Node, tensor: gs.Tensor, size: int) -> slice | None:
    """Return the channels that a Split (opsets 2 to 18) or a Slice (10) cuts out of the last of two axes."""
    if node.op == "Split":
        return _share(node, tensor, size)
    values = [constant(it) for it in node.inputs[1:]]
    if any(value is None or value.size != 1 for value in values) or len(values) < 3:
        return None
    start, end, axis, *step = (int(value.item()) for value in values if value is not None)
    return slice(start, min(end, size)) if axis in (1, -1) and step in ([], [1]) else None


def _share(node: gs.Node, tensor: gs.Tensor, size: int) -> slice | None:
    given = node.attrs.get("split")
    if given is None and len(node.inputs) > 1 and node.inputs[1].name:
        values = constant(node.inputs[1])
        given = None if values is None else values.astype(int).reshape(-1).tolist()
        if given is None:
            return None
    count = len(node.outputs)
    lengths = given or [size // count] * count
    index = next(place for place, it in enumerate(node.outputs) if it is tensor)
    if node.attrs.get("axis", 0) not in (1, -1) or len(lengths) != count or sum(lengths) != size:
        return None
    return slice(sum(lengths[:index]), sum(lengths[: index + 1]))
