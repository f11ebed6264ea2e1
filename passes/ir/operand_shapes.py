"""Whether the input of a layer, of the shape that the file claims, can be multiplied by its weight."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import onnx_graphsurgeon as gs

_SPATIAL = ("Conv", "ConvTranspose")


def misfit(node: gs.Node, act: gs.Tensor, weight: gs.Constant) -> str:
    """Say why the operands of a layer do not go together; empty where they do, or where nobody can tell.

    Args:
        node: a Conv, ConvTranspose, Gemm or MatMul; of the Gemm, the input is not transposed.
        act: its input.
        weight: its weight; that of a matrix product has rank 2.
    """
    if 0 in weight.shape:
        return "its weight has no elements"
    if act.shape is None:
        return ""
    spatial = node.op in _SPATIAL
    fits = len(act.shape) == len(weight.shape) if spatial else len(act.shape) > 0
    found = act.shape[1 if spatial else -1] if fits else None
    if fits and (not isinstance(found, int) or found <= 0 or found == _depth(node, weight)):
        return ""
    return f"its input of shape {tuple(act.shape)} does not fit its weight of shape {tuple(weight.shape)}"


def _depth(node: gs.Node, weight: gs.Constant) -> int:
    """Return how many channels the input of a layer has."""
    if node.op == "Conv":
        return int(weight.shape[1] * node.attrs.get("group", 1))
    return int(weight.shape[1 if node.op == "Gemm" and node.attrs.get("transB", 0) else 0])
