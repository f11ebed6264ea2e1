"""A Split is as many Slices, which have an integer form."""

from __future__ import annotations

from itertools import accumulate

import numpy as np
import onnx_graphsurgeon as gs

SLICE_OPSET = 10
"""Since then the bounds of a Slice are inputs."""


def split_slices(graph: gs.Graph) -> int:
    """Replace every Split of floats into parts of known sizes; return how many."""
    if graph.opset < SLICE_OPSET:
        return 0
    changed = 0
    for node in list(graph.nodes):
        sizes = _sizes(node) if node.op == "Split" and node.inputs[0].dtype == np.float32 else None
        if sizes is None:
            continue
        parts, ends = list(node.outputs), list(accumulate(sizes))
        node.outputs.clear()
        for index, (part, start, end) in enumerate(zip(parts, [0, *ends], ends, strict=False)):
            _add_slice(graph, node, f"{node.name}.{index}", part, (start, end))
        node.inputs.clear()
        changed += 1
    return changed


def _add_slice(graph: gs.Graph, node: gs.Node, name: str, part: gs.Variable, cut: tuple[int, int]) -> None:
    values = {"starts": cut[0], "ends": cut[1], "axes": node.attrs.get("axis", 0)}
    bounds = [gs.Constant(f"{name}.{key}", np.array([value], np.int64)) for key, value in values.items()]
    graph.nodes.append(gs.Node("Slice", name, {}, [node.inputs[0], *bounds], [part]))


def _sizes(node: gs.Node) -> list[int] | None:
    """Return the sizes of the parts, or ``None`` where they depend on data or do not fill the axis."""
    given = node.attrs.get("split")
    if given is None and len(node.inputs) > 1 and node.inputs[1].name:
        given = node.inputs[1].values.tolist() if isinstance(node.inputs[1], gs.Constant) else None
        if given is None:
            return None
    shape, axis = node.inputs[0].shape, node.attrs.get("axis", 0)
    if shape is None or not -len(shape) <= axis < len(shape):
        return None
    extent, count = shape[axis], len(node.outputs)
    if given is None:
        # Without sizes the parts are equal, but for a smaller last one since opset 18.
        if (
            not isinstance(extent, int)
            or extent < count
            or (extent % count and "num_outputs" not in node.attrs)
        ):
            return None
        largest = -(-extent // count)
        given = [largest] * (count - 1) + [extent - largest * (count - 1)]
    whole = not isinstance(extent, int) or sum(given) == extent
    return [int(size) for size in given] if whole and len(given) == count and min(given) > 0 else None
