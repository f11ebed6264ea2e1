"""Computes shapes in advance where they depend on symbolic axes only in ways that a Reshape can express.

Exporters compute the shapes of a Reshape at run time: Shape, Gather, Concat and arithmetic between them. With
the symbolic axes as names, all of this can be evaluated; what comes out is a constant, or a constant with a
0 (keep this axis) or one -1 (infer it) in place of what is not known.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnx_graphsurgeon as gs

from passes.ir.extent import Extent
from passes.ir.known_integers import Values, evaluate, known_value
from passes.transform.patterns import producer

if TYPE_CHECKING:
    from numpy.typing import NDArray


def spell_out_shapes(graph: gs.Graph) -> None:
    """Let every Shape of some axes (ONNX, opset 15) give all of them, and a Slice behind it those.

    graphsurgeon folds a Shape without looking at ``start`` and ``end``.
    """
    for part in [graph, *graph.subgraphs(recursive=True)]:
        for node in [node for node in part.nodes if node.op == "Shape" and node.attrs]:
            result = node.outputs[0]
            bounds = [node.attrs.pop("start", 0), node.attrs.pop("end", np.iinfo(np.int64).max), 0]
            whole = gs.Variable(f"{result.name}.all_axes", np.int64)
            node.outputs = [whole]
            ends = [
                gs.Constant(f"{whole.name}.{name}", np.array([value], dtype=np.int64))
                for name, value in zip(("start", "end", "axis"), bounds, strict=True)
            ]
            cut = gs.Node("Slice", f"{whole.name}.cut", {}, [whole, *ends], [result])
            part.nodes.insert(part.nodes.index(node) + 1, cut)


def fold_shapes(graph: gs.Graph) -> int:
    """Replace computed integers and target shapes by constants; return how many.

    Args:
        graph: in topological order; changed in place. Nodes that nothing reads any more stay for a cleanup.
    """
    known: Values = {}
    folded = 0
    outputs = {tensor.name for tensor in graph.outputs}
    for node in graph.nodes:
        if node.op in ("Reshape", "Expand"):
            folded += _fold_target(node, known)
        value = evaluate(node, known)
        if value is None:
            continue
        known[node.outputs[0].name] = value
        if not _is_symbolic(value) and node.outputs[0].name not in outputs:
            folded += _replace(node.outputs[0], value)
    return folded


def _is_symbolic(value: NDArray[Any]) -> bool:
    return any(isinstance(item, Extent) for item in value.reshape(-1))


def _replace(tensor: gs.Variable, value: NDArray[Any]) -> int:
    """Let the readers of a tensor read a constant."""
    if not tensor.outputs or tensor.dtype is None:
        return 0
    constant = gs.Constant(f"{tensor.name}.folded", value.astype(tensor.dtype))
    for reader in list(tensor.outputs):
        reader.inputs = [constant if item is tensor else item for item in reader.inputs]
    return 1


def _fold_target(node: gs.Node, known: Values) -> int:
    """Give a Reshape or Expand a constant shape; 1 if it could be done."""
    target = None if isinstance(node.inputs[1], gs.Constant) else known.get(node.inputs[1].name)
    if target is None or not _is_symbolic(target) or node.attrs.get("allowzero", 0):
        return 0
    shape = node.inputs[0].shape or []
    own = [Extent.parse(dim) if isinstance(dim, str) else dim for dim in shape]
    # Expand keeps an axis where the target is 1, Reshape where it is 0.
    keep = 1 if node.op == "Expand" else 0
    aligned = [None] * max(0, len(target) - len(own)) + own if node.op == "Expand" else own
    dims = [
        keep if isinstance(want, Extent) and index < len(aligned) and want == aligned[index] else want
        for index, want in enumerate(target.tolist())
    ]
    unknown = [index for index, dim in enumerate(dims) if isinstance(dim, Extent)]
    if len(unknown) > 1 or (unknown and (node.op == "Expand" or -1 in dims)):
        return 0
    for index in unknown:
        dims[index] = -1
    node.inputs[1] = gs.Constant(f"{node.name}.target", np.array(dims, dtype=np.int64))
    return 1


def join_reshapes(graph: gs.Graph, known: Values) -> int:
    """Let a Reshape of a Reshape read what the first one reads; return how many do.

    That is so where the second names all its extents itself, none as one that it keeps.
    """
    joined = 0
    for node in graph.nodes:
        before = producer(node.inputs[0], "Reshape") if node.op == "Reshape" else None
        target = None if before is None else known_value(node.inputs[1], known)
        if before is not None and target is not None and 0 not in target.tolist():
            node.inputs[0] = before.inputs[0]
            joined += 1
    return joined


def settle_reshapes(graph: gs.Graph) -> int:
    """Write 0, "keep this axis", where a Reshape infers an extent and that turns out to be one it keeps.

    Shape inference gives an inferred extent a name of its own, which then meets the old one.
    """
    settled = 0
    for node in graph.nodes:
        target = node.inputs[1] if node.op == "Reshape" else None
        if not isinstance(target, gs.Constant) or node.attrs.get("allowzero", 0):
            continue
        values = np.asarray(target.values).tolist()
        before, after = node.inputs[0].shape or [], node.outputs[0].shape or []
        index = values.index(-1) if -1 in values else len(before)
        if index >= min(len(before), len(after)):
            continue
        if isinstance(before[index], str) and before[index] == after[index]:
            values[index] = 0
            node.inputs[1] = gs.Constant(f"{node.name}.settled", np.array(values, dtype=np.int64))
            settled += 1
    return settled
