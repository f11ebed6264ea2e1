"""Names the extents that a Reshape infers by what they are made of, such as ``17*batch``.

Shape inference gives each a name of its own, and so loses how many rows one sample has; costs need that.
"""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING

import onnx_graphsurgeon as gs

from passes.ir.extent import Extent

if TYPE_CHECKING:
    from collections.abc import Mapping

Names = dict[str, Extent | int]
"""What a symbolic dimension stands for, by its name."""


def name_extents(graph: gs.Graph) -> frozenset[str]:
    """Rename symbolic dimensions throughout a graph in topological order; nothing else changes.

    Returns:
        Names of the results of Reshapes of which an extent was found.
    """
    names: Names = {}
    solved = frozenset(
        node.outputs[0].name for node in graph.nodes if node.op == "Reshape" and _solve(node, names)
    )
    for node in graph.nodes:
        for tensor in node.outputs:
            if tensor.shape is not None and tensor not in graph.outputs:
                tensor.shape = [_renamed(dim, names) for dim in tensor.shape]
    return solved


def _solve(node: gs.Node, names: Names) -> bool:
    """Learn the one dimension of a Reshape's result that its input does not have."""
    before, after = (tensor.shape for tensor in (node.inputs[0], node.outputs[0]))
    if before is None or after is None or not all(isinstance(dim, int | str) for dim in (*before, *after)):
        return False
    own = {dim for dim in before if isinstance(dim, str)}
    new = [dim for dim in after if isinstance(dim, str) and dim not in own and dim not in names]
    if len(new) != 1 or 0 in after:
        return False
    rest = prod(_extent(dim, names) for dim in after if dim != new[0])
    total: Extent | int = prod(_extent(dim, names) for dim in before)
    try:
        names[new[0]] = total // rest if isinstance(total, Extent) else _divided(total, rest)
    except ValueError:
        return False
    return True


def _divided(total: int, rest: Extent | int) -> int:
    """Divide what is known; raises `ValueError` when the quotient is not a whole number."""
    if isinstance(rest, Extent) or total % rest:
        raise ValueError(f"{total} is not a multiple of {rest}")
    return total // rest


def _extent(dim: int | str, names: Mapping[str, Extent | int]) -> Extent | int:
    return names.get(dim, Extent.parse(dim)) if isinstance(dim, str) else dim


def _renamed(dim: int | str | None, names: Mapping[str, Extent | int]) -> int | str | None:
    found = names.get(dim) if isinstance(dim, str) else None
    return dim if found is None else str(found) if isinstance(found, Extent) else found
