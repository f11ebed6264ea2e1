"""Types that are written in other words: of casts like another tensor, and of numbers as attributes."""

from __future__ import annotations

import numpy as np
import onnx_graphsurgeon as gs
from onnx import helper

_FLOATS = frozenset({"value_float", "value_floats"})


def settle_types(graph: gs.Graph) -> int:
    """Turn CastLikes (opset 15) to known types into Casts, and Casts that change nothing into Identities.

    Exporters cast scalars like the tensor beside them, so that what is constant looks computed. Constants
    whose numbers are attributes (opset 12) get tensors: graphsurgeon takes floats for numbers of 64 bits.

    Returns:
        How many were replaced, those of nested graphs included.
    """
    settled = 0
    for part in [graph, *graph.subgraphs(recursive=True)]:
        for node in part.nodes:
            for name in _FLOATS.intersection(node.attrs) if node.op == "Constant" else ():
                values = np.asarray(node.attrs.pop(name), np.float32)
                node.attrs["value"] = gs.Constant(f"{node.name}.value", values)
            if node.op == "CastLike" and not node.domain and node.inputs[1].dtype is not None:
                kind = node.inputs[1].dtype
                node.op, node.inputs = "Cast", node.inputs[:1]
                node.attrs["to"] = (
                    kind if isinstance(kind, int) else helper.np_dtype_to_tensor_dtype(np.dtype(kind))
                )
                settled += 1
            if node.op == "Cast" and not node.domain and _changes_nothing(node):
                node.op, node.attrs = "Identity", {}
                settled += 1
    return settled


def _changes_nothing(node: gs.Node) -> bool:
    kind = node.inputs[0].dtype if node.inputs else None
    if kind is None or isinstance(kind, int):
        return False
    return bool(node.attrs["to"] == helper.np_dtype_to_tensor_dtype(np.dtype(kind)))
