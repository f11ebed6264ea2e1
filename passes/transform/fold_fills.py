"""Tensors of one value, whatever their sizes are: what arithmetic does with them is known in advance.

Recurrent networks begin with a state of zeros that has as many rows as there are samples. As an operand it is
a constant, repeated along the axes that are known at run time only; and a zero that is added goes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx_graphsurgeon as gs

from passes.ir.known_integers import known_value

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from passes.ir.known_integers import Values

    Fill = tuple[NDArray[np.float32], list[str]]

_ARITHMETIC = {"Add": np.add, "Sub": np.subtract, "Mul": np.multiply}


def fold_fills(graph: gs.Graph, known: Values) -> int:
    """Put constants in the place of such operands, and take out additions of zeros; return how many.

    Args:
        graph: in topological order; changed in place, what is no longer read stays for a cleanup.
        known: integers that are known in advance, from `passes.ir.known_integers`.
    """
    fills: dict[str, Fill] = {}
    found = 0
    for node in graph.nodes:
        if node.op == "ConstantOfShape" and node.outputs:
            fill = _filled(node, known)
            if fill is not None:
                fills[node.outputs[0].name] = fill
        elif node.op in _ARITHMETIC and len(node.inputs) == 2 and node.outputs and not node.domain:
            found += _fold(node, fills)
    outputs = {tensor.name for tensor in graph.outputs}
    return found + sum([_drop_zero(node, outputs) for node in graph.nodes if node.op in ("Add", "Sub")])


def _filled(node: gs.Node, known: Values) -> Fill | None:
    """Return the values, with 1 for an axis of unknown size, and the shape as text."""
    shape = known_value(node.inputs[0], known)
    value = node.attrs.get("value")
    number = np.zeros(1, np.float32) if value is None else np.asarray(value.values)
    if shape is None or number.dtype != np.float32:
        return None
    sizes = [extent if isinstance(extent, int) else 1 for extent in shape.tolist()]
    return np.full(sizes, number.reshape(-1)[0]), [str(extent) for extent in shape.tolist()]


def _fold(node: gs.Node, fills: dict[str, Fill]) -> int:
    """Compute with fills and constants; of a computed operand's other side, make a constant."""
    given = [_values(tensor, fills) for tensor in node.inputs]
    if given[0] is not None and given[1] is not None:
        values = _ARITHMETIC[node.op](given[0][0], given[1][0])
        fills[node.outputs[0].name] = values, _broadcast(given[0][1], given[1][1])
        return 0
    for place, fill in enumerate(given):
        operand, other = node.inputs[place], node.inputs[1 - place]
        if fill is not None and isinstance(operand, gs.Variable) and _spreads(fill[1], other):
            node.inputs[place] = gs.Constant(f"{node.name}.fill", np.ascontiguousarray(fill[0]))
            return 1
    return 0


def _values(tensor: gs.Tensor, fills: dict[str, Fill]) -> Fill | None:
    if not isinstance(tensor, gs.Constant):
        return fills.get(tensor.name)
    if tensor.dtype != np.float32:
        return None
    return np.asarray(tensor.values), [str(extent) for extent in tensor.shape]


def _broadcast(first: list[str], second: list[str]) -> list[str]:
    rank = max(len(first), len(second))
    pairs = zip(*(["1"] * (rank - len(one)) + one for one in (first, second)), strict=True)
    return [a if b == "1" else b for a, b in pairs]


def _spreads(shape: list[str], other: gs.Tensor) -> bool:
    """Tell whether an operand of a shape leaves the shape of the other as it is."""
    if other.shape is None or len(shape) > len(other.shape):
        return False
    tail = list(other.shape)[len(other.shape) - len(shape) :]
    return all(extent in ("1", str(dim)) for extent, dim in zip(shape, tail, strict=True))


def _drop_zero(node: gs.Node, outputs: set[str]) -> int:
    """Let the readers of ``x + 0`` read ``x``."""
    for place, zero in enumerate(node.inputs):
        x, result = node.inputs[1 - place], node.outputs[0] if node.outputs else None
        first = place == 0 and node.op == "Sub"
        constant = isinstance(zero, gs.Constant) and isinstance(x, gs.Variable) and not first
        if result is None or not constant or np.any(zero.values) or result.name in outputs:
            continue
        if _spreads([str(extent) for extent in zero.shape], x):
            for reader in list(result.outputs):
                reader.inputs = [x if tensor is result else tensor for tensor in reader.inputs]
            node.inputs.clear()
            node.outputs.clear()
            return 1
    return 0
