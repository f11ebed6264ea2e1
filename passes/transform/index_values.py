"""What is known of integers and truth values that a graph computes from nothing but shapes.

Exporters number rows and columns with Range and put the numbers together to indices into a tensor. Such a
tensor is an `Affine` function of its own position.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx_graphsurgeon as gs

from passes.ir.extent import Extent
from passes.ir.known_integers import known_value

if TYPE_CHECKING:
    from collections.abc import Callable

    from passes.ir.known_integers import Values

Size = Extent | int


@dataclass(frozen=True, slots=True)
class Affine:
    """The tensor whose element at ``(i, j, ...)`` is ``offset + steps[0] * i + steps[1] * j + ...``.

    Attributes:
        extents: its shape.
        offset: first element.
        steps: along every axis; 0 along an axis of one element.
    """

    extents: tuple[Size, ...]
    offset: int
    steps: tuple[Size, ...]


@dataclass(frozen=True, slots=True)
class AllTrue:
    """A tensor of truth values, all of which are true."""


IndexValue = Affine | AllTrue


def index_values(graph: gs.Graph, known: Values) -> dict[str, IndexValue]:
    """Return what is known, by tensor.

    Args:
        graph: in topological order.
        known: integers that are known in advance, from `passes.ir.known_integers`.
    """
    found: dict[str, IndexValue] = {}
    for node in graph.nodes:
        rule = _RULES.get(node.op)
        if rule is not None and len(node.outputs) == 1:
            value = rule(node, [_operand(tensor, found, known) for tensor in node.inputs])
            if value is not None:
                found[node.outputs[0].name] = value
    return found


def _operand(tensor: gs.Tensor, found: dict[str, IndexValue], known: Values) -> Any:
    """Return an `IndexValue`, or an array of known integers, or ``None``."""
    if tensor.name in found:
        return found[tensor.name]
    if isinstance(tensor, gs.Constant) and tensor.dtype == np.bool_:
        return AllTrue() if np.all(tensor.values) else None
    return known_value(tensor, known)


def _range(_: gs.Node, operands: list[Any]) -> IndexValue | None:
    if len(operands) != 3 or any(isinstance(item, IndexValue) or item is None for item in operands):
        return None
    start, limit, delta = (np.reshape(item, -1)[0] for item in operands)
    return Affine((limit,), 0, (1,)) if start == 0 and delta == 1 else None


def _unsqueeze(node: gs.Node, operands: list[Any]) -> IndexValue | None:
    value = operands[0]
    axes = node.attrs.get("axes", operands[1] if len(operands) > 1 else None)
    if not isinstance(value, Affine) or axes is None or isinstance(axes, IndexValue):
        return value if isinstance(value, AllTrue) else None
    extents, steps = list(value.extents), list(value.steps)
    rank = len(extents) + len(axes)
    for axis in sorted(int(axis) % rank for axis in axes):
        extents.insert(axis, 1)
        steps.insert(axis, 0)
    return replace(value, extents=tuple(extents), steps=tuple(steps))


def _mul(_: gs.Node, operands: list[Any]) -> IndexValue | None:
    value, factor = operands if isinstance(operands[0], Affine) else operands[::-1]
    if not isinstance(value, Affine) or not isinstance(factor, np.ndarray) or factor.size != 1:
        return None
    size = factor.reshape(-1)[0]
    if isinstance(size, Extent) and value.offset:
        return None
    return replace(value, offset=value.offset and value.offset * size, steps=_times(value.steps, size))


def _times(steps: tuple[Size, ...], size: Size) -> tuple[Size, ...]:
    return tuple(step * size for step in steps)


def _add(_: gs.Node, operands: list[Any]) -> IndexValue | None:
    first, second = operands
    if not isinstance(first, Affine) or not isinstance(second, Affine):
        return None
    rank = max(len(first.extents), len(second.extents))
    axes = [_sum(*pair) for pair in zip(_axes(first, rank), _axes(second, rank), strict=True)]
    if any(axis is None for axis in axes):
        return None
    extents, steps = zip(*[axis for axis in axes if axis is not None], strict=True)
    return Affine(extents, first.offset + second.offset, steps)


def _axes(value: Affine, rank: int) -> list[tuple[Size, Size]]:
    missing = rank - len(value.extents)
    return [(1, 0)] * missing + list(zip(value.extents, value.steps, strict=True))


def _sum(first: tuple[Size, Size], second: tuple[Size, Size]) -> tuple[Size, Size] | None:
    """Add along one axis, along which one side may have a single element; ``None`` where it is not told."""
    if 1 in (first[0], second[0]):
        return second if first[0] == 1 else first
    if first[0] != second[0] or (first[1] != 0 and second[1] != 0):
        return None
    return first[0], first[1] if second[1] == 0 else second[1]


def _at_least(_: gs.Node, operands: list[Any]) -> IndexValue | None:
    value, least = operands
    if not isinstance(value, Affine) or not isinstance(least, np.ndarray) or least.size != 1:
        return None
    rises = all(isinstance(step, Extent) or step >= 0 for step in value.steps)
    return AllTrue() if rises and value.offset >= least.reshape(-1)[0] else None


def _and(_: gs.Node, operands: list[Any]) -> IndexValue | None:
    return AllTrue() if all(isinstance(item, AllTrue) for item in operands) else None


def _same(_: gs.Node, operands: list[Any]) -> IndexValue | None:
    return operands[0] if isinstance(operands[0], IndexValue) else None


_RULES: dict[str, Callable[[gs.Node, list[Any]], IndexValue | None]] = {
    "Range": _range,
    "Unsqueeze": _unsqueeze,
    "Mul": _mul,
    "Add": _add,
    "GreaterOrEqual": _at_least,
    "And": _and,
    "Cast": _same,
    "Identity": _same,
}
