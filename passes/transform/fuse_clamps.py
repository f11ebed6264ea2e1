"""Bounds in other words: Min and Max with a number are a Clip, and a clamp behind a clamp is one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx_graphsurgeon as gs

from passes.ir.kinds import node_kind
from passes.ir.ops import OpClass
from passes.lowering.attributes import clamp_bounds
from passes.transform.patterns import scalar

if TYPE_CHECKING:
    pass

CLIP_INPUTS_OPSET = 11
"""Since then the bounds of a Clip are inputs."""
Bounds = tuple[float, float]


def fuse_clamps(graph: gs.Graph) -> int:
    """Put a Clip in the place of every Min and Max of float32 with one number, and of two clamps in a row.

    Args:
        graph: in topological order, of opset 11 or later; others are left alone.

    Returns:
        How many were replaced. Nodes left without readers stay for a cleanup.
    """
    if graph.opset < CLIP_INPUTS_OPSET:
        return 0
    outputs = {tensor.name for tensor in graph.outputs}
    fused = 0
    for node in graph.nodes:
        bounds, source = _bounds(node), _operand(node)
        if bounds is None or source is None:
            continue
        before = source.inputs[0] if source.inputs and len(source.outputs) == 1 else None
        inner = None if before is None or source.name in outputs else _bounds(before)
        joined = None if inner in (None, bounds) else _joined(inner, bounds)
        if joined is not None and before is not None:
            _set(node, _operand(before), joined)
            fused += 1
        elif node.op in ("Min", "Max"):
            _set(node, source, bounds)
            fused += 1
    return fused


def _bounds(node: gs.Node) -> Bounds | None:
    """Return the least and the largest result, infinite where there is none; ``None`` for other operators."""
    if node.domain or not node.outputs or node.outputs[0].dtype != np.float32:
        return None
    if node.op in ("Min", "Max"):
        value = scalar(node) if len(node.inputs) == 2 else None
        value = value if value is not None and _keeps_rank(node) else None
        if value is None or np.isnan(value):
            return None
        return (-np.inf, value) if node.op == "Min" else (value, np.inf)
    if node.op not in ("Relu", "Clip") or node_kind(node) is not OpClass.CLAMP:
        return None
    low, high = clamp_bounds(node)
    return -np.inf if low is None else low, np.inf if high is None else high


def _operand(node: gs.Node) -> gs.Variable | None:
    """Return the one computed operand."""
    variables = [tensor for tensor in node.inputs if isinstance(tensor, gs.Variable) and tensor.name]
    return variables[0] if len(variables) == 1 else None


def _keeps_rank(node: gs.Node) -> bool:
    """Tell whether the number is not broadcast into a larger shape."""
    constant, computed = sorted(node.inputs, key=lambda tensor: isinstance(tensor, gs.Variable))
    rank = len(constant.shape or ())
    return rank == 0 or (computed.shape is not None and rank <= len(computed.shape))


def _joined(inner: Bounds, outer: Bounds) -> Bounds | None:
    """Return both at once, or ``None`` where nothing lies within both."""
    low, high = max(inner[0], outer[0]), min(inner[1], outer[1])
    return (low, high) if low < high else None


def _set(node: gs.Node, source: gs.Variable | None, bounds: Bounds) -> None:
    ends: list[gs.Tensor] = [
        gs.Constant(f"{node.name}.{name}", np.array(value, np.float32))
        if np.isfinite(value)
        else gs.Variable.empty()
        for name, value in zip(("min", "max"), bounds, strict=True)
    ]
    node.op, node.attrs, node.inputs = "Clip", {}, [source, *ends]
