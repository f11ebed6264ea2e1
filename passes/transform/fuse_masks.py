"""A mask that is added to the scores of an attention selects among them instead.

``scores + Where(keep, 0, lowest)`` and ``scores + m``, with m cut from a constant of zeros and lowest
values, become ``Where(keep, scores, lowest)`` in front of a Softmax. Either way the entries that are not kept
get a weight of zero in float32, as long as scores stay far from `HIDDEN` and every row keeps an entry: of a
constant mask the first column must be kept, which no cut from the front takes away. Rows that keep nothing
get equal weights from a computed mask, whose lowest value must drown the scores.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx_graphsurgeon as gs

from passes.transform.index_values import AllTrue
from passes.transform.patterns import producer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from passes.transform.index_values import IndexValue

WHERE_OPSET = 9
HIDDEN, DROWNED = -1e4, -1e9
"""Greatest value that hides a score in a constant mask, and in a computed one."""
_MOVERS = frozenset({"Slice", "Reshape", "Unsqueeze", "Squeeze", "Identity"})


def fuse_masks(graph: gs.Graph, indices: Mapping[str, IndexValue]) -> int:
    """Replace every sum of scores and a mask that only a Softmax reads; return how many.

    Args:
        graph: changed in place; nodes that nothing reads any more stay for a cleanup.
        indices: truth values that are known, from `passes.transform.index_values`.
    """
    if graph.opset < WHERE_OPSET:
        return 0
    selectors: dict[str, gs.Tensor | None] = {}
    return sum([_fuse(graph, node, indices, selectors) for node in list(graph.nodes) if node.op == "Add"])


def _fuse(
    graph: gs.Graph,
    node: gs.Node,
    indices: Mapping[str, IndexValue],
    selectors: dict[str, gs.Tensor | None],
) -> int:
    result = node.outputs[0]
    if result in graph.outputs or any(reader.op != "Softmax" for reader in result.outputs):
        return 0
    for scores, mask in (node.inputs, node.inputs[::-1]):
        if mask.name not in selectors:
            selectors[mask.name] = _selector(graph, mask, indices)
        keep = selectors[mask.name]
        if keep is not None and isinstance(scores, gs.Variable) and _covers(scores, result):
            least = np.finfo(scores.dtype or np.float32).min
            lowest = gs.Constant(f"{node.name}.lowest", np.array(least, scores.dtype or np.float32))
            node.op, node.attrs, node.inputs = "Where", {}, [keep, scores, lowest]
            return 1
    return 0


def _covers(scores: gs.Variable, result: gs.Variable) -> bool:
    """Tell whether a mask repeats along the scores and never the other way round."""
    return scores.shape is not None and scores.shape == result.shape and None not in scores.shape


def _selector(graph: gs.Graph, mask: gs.Tensor, indices: Mapping[str, IndexValue]) -> gs.Tensor | None:
    """Return the truth values behind a mask, or ``None`` where it is something else."""
    chosen = producer(mask, "Where")
    if chosen is not None:
        zero, low = (_single(tensor) for tensor in chosen.inputs[1:])
        return (
            _condition(chosen.inputs[0], indices)
            if zero == 0 and low is not None and low <= DROWNED
            else None
        )
    chain: list[gs.Node] = []
    tensor = mask
    while len(tensor.inputs) == 1 and tensor.inputs[0].op in _MOVERS:
        chain.insert(0, tensor.inputs[0])
        tensor = tensor.inputs[0].inputs[0]
    if not isinstance(tensor, gs.Constant) or tensor.dtype != np.float32:
        return None
    values = np.asarray(tensor.values)
    if values.ndim < 1 or np.any(values[..., :1]) or not np.all((values == 0) | (values <= HIDDEN)):
        return None
    return _moved(graph, gs.Constant(f"{tensor.name}.keep", values == 0), chain)


def _moved(graph: gs.Graph, constant: gs.Constant, chain: list[gs.Node]) -> gs.Tensor:
    """Move truth values as the chain moves the mask."""
    tensor: gs.Tensor = constant
    for node in chain:
        moved = gs.Variable(f"{node.outputs[0].name}.keep", np.bool_, node.outputs[0].shape)
        inputs = [tensor, *node.inputs[1:]]
        graph.nodes.append(gs.Node(node.op, f"{node.name}.keep", dict(node.attrs), inputs, [moved]))
        tensor = moved
    return tensor


def _condition(tensor: gs.Tensor, indices: Mapping[str, IndexValue]) -> gs.Tensor:
    """See through what only repeats a condition: it repeats along the scores in any case."""
    while len(tensor.inputs) == 1:
        node = tensor.inputs[0]
        if node.op == "And":
            others = [it for it in node.inputs if not isinstance(indices.get(it.name), AllTrue)]
            if len(others) != 1:
                return tensor
            tensor = others[0]
        elif node.op == "Expand" or (node.op == "Cast" and node.inputs[0].dtype == np.bool_):
            tensor = node.inputs[0]
        else:
            return tensor
    return tensor


def _single(tensor: gs.Tensor) -> float | None:
    if not isinstance(tensor, gs.Constant) or tensor.values.size != 1:
        return None
    return float(np.asarray(tensor.values).item())
