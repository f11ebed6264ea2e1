"""Where the channels of a tensor go: through operators that treat each by itself, and in proportion.

If x is scaled by s > 0 in a channel, every tensor on such a path is scaled by s in the same channel, so that
the layers at its ends can take the factor back.
"""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING

import onnx_graphsurgeon as gs

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from passes.ir.layers import Layer

    Axes = tuple[int, ...]
    """The axes that channels are spread over, the slowest first."""

_UNCHANGED = ("Identity", "Relu", "LeakyRelu", "Dropout")
"""Positive factors pass through these."""
_VIEWS = ("Reshape", "Flatten", "Squeeze", "Unsqueeze")
_DENSE = ("Gemm", "MatMul")


def path_ends(
    tensor: gs.Variable, channels: int, layers: Mapping[str, Layer], outputs: Collection[str]
) -> tuple[Layer, ...]:
    """Return the layers that multiply the channels of a tensor, in the order in which they are met.

    Args:
        tensor: its last axis runs over the channels.
        channels: their number.
        layers: of the graph, by name.
        outputs: names of the results of the model.

    Returns:
        Gemm and MatMul layers with constant weights; empty when the channels get anywhere else as well.
    """
    if not tensor.shape or tensor.shape[-1] != channels:
        return ()
    waiting: list[tuple[gs.Variable, Axes]] = [(tensor, (len(tensor.shape) - 1,))]
    seen: set[str] = set()
    ends: list[Layer] = []
    while waiting:
        at, axes = waiting.pop(0)
        if at.name in outputs:
            return ()
        for node in at.outputs:
            if node.op == "Shape":
                continue
            # Where two paths meet, factors multiply.
            if node.name in seen:
                return ()
            seen.add(node.name)
            layer = layers.get(node.name)
            if layer is not None and layer.weight is not None:
                if layer.op not in _DENSE or axes != (len(at.shape) - 1,):
                    return ()
                ends.append(layer)
                continue
            moved = _step(node, at, axes, channels)
            if moved is None:
                return ()
            waiting.append((node.outputs[0], moved))
    return tuple(ends)


def _step(  # noqa: PLR0911 - one return per kind of operator
    node: gs.Node, tensor: gs.Variable, axes: Axes, channels: int
) -> Axes | None:
    """Return where the channels are behind a node, or ``None`` when it mixes them or bends them."""
    result = node.outputs[0] if len(node.outputs) == 1 else None
    if result is None or result.shape is None or sum(it is tensor for it in node.inputs) != 1:
        return None
    if node.op in _UNCHANGED and node.inputs[0] is tensor:
        return axes
    if node.op in _VIEWS and node.inputs[0] is tensor:
        return _viewed(tensor, result, axes, channels)
    if node.op == "Transpose" and "perm" in node.attrs:
        return tuple(list(node.attrs["perm"]).index(axis) for axis in axes)
    if node.op == "Gather" and node.inputs[0] is tensor:
        return _gathered(node, tensor, result, axes)
    if node.op == "Mul" or (node.op == "Div" and node.inputs[0] is tensor):
        return axes if _kept(tensor, result, axes) else None
    if node.op == "MatMul" and node.inputs[1] is tensor and len(tensor.shape) - 2 not in axes:
        return axes if _kept(tensor, result, axes) else None
    return None


def _viewed(tensor: gs.Variable, result: gs.Variable, axes: Axes, channels: int) -> Axes | None:
    """Channels on the last axes, in order, are on the last axes of any view."""
    rank = len(tensor.shape)
    if axes != tuple(range(rank - len(axes), rank)):
        return None
    for count in range(1, len(result.shape) + 1):
        tail = result.shape[-count:]
        if not all(isinstance(size, int) for size in tail):
            return None
        if prod(tail) == channels:
            return tuple(range(len(result.shape) - count, len(result.shape)))
    return None


def _gathered(node: gs.Node, tensor: gs.Variable, result: gs.Variable, axes: Axes) -> Axes | None:
    rank = len(tensor.shape)
    along = int(node.attrs.get("axis", 0)) % rank
    shift = len(result.shape) - rank
    return None if along in axes else tuple(axis + shift if axis > along else axis for axis in axes)


def _kept(tensor: gs.Variable, result: gs.Variable, axes: Axes) -> bool:
    """Tell whether a broadcast leaves the channels where they are."""
    same_rank = len(tensor.shape) == len(result.shape)
    return same_rank and all(
        isinstance(tensor.shape[axis], int) and tensor.shape[axis] == result.shape[axis] for axis in axes
    )
