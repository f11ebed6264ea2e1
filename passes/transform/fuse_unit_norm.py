"""Division by the length of a vector is a normalization: RMSNormalization (ONNX, opset 23).

``x / max(|x|, eps)`` becomes ``x / sqrt(mean(x * x) + eps * eps / n) / sqrt(n)``. The two agree within half
of ``(eps / |x|) ** 2`` of their value where ``|x|`` exceeds eps, which is as small as 1e-12 in practice.
"""

from __future__ import annotations

import math

import numpy as np
import onnx_graphsurgeon as gs

from passes.transform.fuse_layer_norm import Norm
from passes.transform.patterns import along_last, producer, scalar

MAX_EPSILON = 1e-6


def find_unit_norms(graph: gs.Graph) -> list[Norm]:
    """Return every ``x / Clip(ReduceL2(x), eps)`` along the last axis, seen through an Expand."""
    found = [_norm(node) for node in graph.nodes if node.op == "Div"]
    return [norm for norm in found if norm is not None]


def _norm(node: gs.Node) -> Norm | None:
    x, length = node.inputs
    expand = producer(length, "Expand")
    clip = producer(length if expand is None else expand.inputs[0], "Clip")
    epsilon = None if clip is None else _floor(clip)
    root = None if clip is None else producer(clip.inputs[0], "ReduceL2")
    if root is None or epsilon is None or not isinstance(x, gs.Variable) or root.inputs[0] is not x:
        return None
    if not along_last(root) or not isinstance(x.shape[-1], int):
        return None
    size = x.shape[-1]
    gain = np.full(size, 1 / math.sqrt(size), np.float32)
    return Norm("RMSNormalization", x, node.outputs[0], epsilon**2 / size, gain, None)


def _floor(clip: gs.Node) -> float | None:
    """Return the lower bound of a Clip that has no upper one, where it is next to nothing."""
    epsilon = scalar(clip)
    bounded = len(clip.inputs) > 2 and clip.inputs[2].name != ""
    if epsilon is None or bounded or not isinstance(clip.inputs[1], gs.Constant):
        return None
    return epsilon if 0 < epsilon <= MAX_EPSILON else None
