"""Settings of a node, wherever its opset keeps them."""

from __future__ import annotations

from typing import Any

import onnx_graphsurgeon as gs

from passes.errors import LoweringError


def setting(node: gs.Node, name: str, index: int) -> Any:
    """Return a setting that ONNX moved from an attribute to an input, or ``None`` when it is absent.

    Raises:
        LoweringError: the input is computed at run time.
    """
    if name in node.attrs:
        return node.attrs[name]
    if len(node.inputs) <= index or not node.inputs[index].name:
        return None
    if not isinstance(node.inputs[index], gs.Constant):
        raise LoweringError(f"node {node.name} ({node.op}): {name} is computed at run time")
    return node.inputs[index].values
