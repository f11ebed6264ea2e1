"""Indices that only count are no indices: rows picked in order are a Reshape, or a Slice.

Exporters write the mask of an attention as ``Gather(Flatten(mask), i * columns + j)`` and positions as
``Gather(table, Slice(0..511, length))``; what is left is a Reshape of the mask and a Slice of rows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx_graphsurgeon as gs

from passes.ir.extent import Extent
from passes.ir.known_integers import front_cut
from passes.transform.index_values import Affine
from passes.transform.patterns import producer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from passes.ir.known_integers import Values
    from passes.transform.index_values import IndexValue, Size

_FLATTENING = ("Flatten", "Reshape")


def fold_indices(graph: gs.Graph, indices: Mapping[str, IndexValue]) -> int:
    """Replace every Gather that reads its elements in order; return how many.

    Args:
        graph: changed in place; nodes that nothing reads any more stay for a cleanup.
        indices: from `index_values`.
    """
    return sum([_reshape(node, indices) + _slice(node) for node in graph.nodes if node.op == "Gather"])


def name_slices(graph: gs.Graph, known: Values, indices: Mapping[str, IndexValue]) -> frozenset[str]:
    """Name the extents of counted indices, and of constants cut to a symbolic length; return the tensors.

    A Slice clamps its end to the extent of what it cuts. The name is right where the table is long enough for
    the data; where it is not, operators that combine the two refuse the data at run time.
    """
    shapes: dict[str, list[Size]] = {
        name: list(value.extents) for name, value in indices.items() if isinstance(value, Affine)
    }
    named = set()
    for node in graph.nodes:
        if node.op == "Slice" and (cut := _cut(node, known)) is not None:
            shapes[node.outputs[0].name] = cut
        for tensor in node.outputs:
            if tensor.name in shapes:
                shape = [str(size) if isinstance(size, Extent) else size for size in shapes[tensor.name]]
                tensor.shape = shape
                named.add(tensor.name)
    return frozenset(named)


def _cut(node: gs.Node, known: Values) -> list[Size] | None:
    """Return the shape of what a Slice takes from the front, up to a symbolic length on some axis."""
    shape, front = node.inputs[0].shape, front_cut(node, known)
    if shape is None or front is None:
        return None
    cut: list[Size] = [Extent.parse(size) if isinstance(size, str) else size for size in shape]
    for axis, end in front.items():
        if not isinstance(cut[axis], int):
            return None
        cut[axis] = end
    return cut


def _reshape(node: gs.Node, indices: Mapping[str, IndexValue]) -> int:
    """Replace ``Gather(Flatten(x), 0, 1, 2 ...)`` by a Reshape with at most one inferred extent."""
    value = indices.get(node.inputs[1].name)
    flat = node.inputs[0]
    before = next((it for op in _FLATTENING if (it := producer(flat, op)) is not None), None)
    if node.attrs.get("axis", 0) != 0 or not isinstance(value, Affine) or before is None:
        return 0
    source = before.inputs[0]
    if source.shape is None or flat.shape is None or any(size != 1 for size in flat.shape[1:]):
        return 0
    own = [Extent.parse(size) if isinstance(size, str) else size for size in source.shape]
    if None in own or value.offset or not _in_order(value, own):
        return 0
    shape = [*value.extents, *flat.shape[1:]]
    target = [
        size if isinstance(size, int) else 0 if index < len(own) and own[index] == size else -1
        for index, size in enumerate(shape)
    ]
    if target.count(-1) > 1:
        return 0
    node.op, node.attrs = "Reshape", {}
    node.inputs = [source, gs.Constant(f"{node.name}.target", np.array(target, dtype=np.int64))]
    return 1


def _in_order(value: Affine, own: list[Size]) -> bool:
    """Tell whether indices count through a tensor of these extents from first to last."""
    walked = [pair for pair in zip(value.extents, value.steps, strict=True) if pair[0] != 1]
    expected: list[tuple[Size, Size]] = []
    stride: Size = 1
    for size in reversed(own):
        if size != 1:
            expected.insert(0, (size, stride))
        stride = stride * size
    return walked == expected


def _slice(node: gs.Node) -> int:
    """Replace ``Gather(table, Slice(numbers))`` by the Slice of the rows that the numbers pick."""
    table, picked = node.inputs
    cut = producer(picked, "Slice")
    if node.attrs.get("axis", 0) != 0 or not isinstance(table, gs.Constant) or cut is None:
        return 0
    numbers = cut.inputs[0]
    if not isinstance(numbers, gs.Constant) or len(cut.inputs) < 4:
        return 0
    values = np.asarray(numbers.values)
    if values.min(initial=0) < -len(table.values) or values.max(initial=0) >= len(table.values):
        return 0
    axes = cut.inputs[3]
    if not isinstance(axes, gs.Constant) or np.any(np.asarray(axes.values) < 0):
        return 0
    rows = gs.Constant(f"{node.name}.rows", np.ascontiguousarray(table.values[values]))
    node.op, node.attrs, node.inputs = "Slice", {}, [rows, *cut.inputs[1:]]
    return 1
