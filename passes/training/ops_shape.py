"""Operators that move, select or repeat elements (ONNX opset 7 to 24)."""

from __future__ import annotations

from itertools import accumulate
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from passes.training.call import integers_of

if TYPE_CHECKING:
    from passes.training.call import Call, Operator


def _reshape(call: Call, x: Tensor, shape: Tensor) -> Tensor:
    wanted = integers_of(shape)
    if not call.integer("allowzero", 0):
        wanted = [x.shape[axis] if size == 0 else size for axis, size in enumerate(wanted)]
    return x.reshape(wanted)


def _flatten(call: Call, x: Tensor) -> Tensor:
    axis = call.integer("axis", 1)
    rows = 1
    for size in x.shape[: axis if axis >= 0 else x.ndim + axis]:
        rows *= size
    return x.reshape(rows, x.numel() // max(rows, 1))


def _transpose(call: Call, x: Tensor) -> Tensor:
    return x.permute(call.integers("perm", range(x.ndim - 1, -1, -1)))


def _squeeze(call: Call, x: Tensor, axes: Tensor | None = None) -> Tensor:
    wanted = call.setting("axes", axes)
    return x.squeeze() if wanted is None else x.squeeze(tuple(wanted))


def _unsqueeze(call: Call, x: Tensor, axes: Tensor | None = None) -> Tensor:
    wanted = call.setting("axes", axes) or []
    rank = x.ndim + len(wanted)
    for axis in sorted(axis % rank for axis in wanted):
        x = x.unsqueeze(axis)
    return x


def _concat(call: Call, *parts: Tensor) -> Tensor:
    return torch.cat(parts, dim=call.integer("axis", 0))


def _split(call: Call, x: Tensor, sizes: Tensor | None = None) -> tuple[Tensor, ...]:
    axis, given = call.integer("axis", 0), call.setting("split", sizes)
    if given is None:
        largest = -(-x.shape[axis] // call.outputs)
        ends = [min(largest * (index + 1), x.shape[axis]) for index in range(call.outputs)]
    else:
        ends = list(accumulate(given))
    starts = [0, *ends[:-1]]
    return tuple(x.narrow(axis, start, end - start) for start, end in zip(starts, ends, strict=True))


def _slice(
    call: Call,
    x: Tensor,
    starts: Tensor | None = None,
    ends: Tensor | None = None,
    axes: Tensor | None = None,
    steps: Tensor | None = None,
) -> Tensor:
    first = call.setting("starts", starts) or []
    last = call.setting("ends", ends) or []
    along = call.setting("axes", axes) or range(len(first))
    by = integers_of(steps) if steps is not None else [1] * len(first)
    for axis, start, end, step in zip(along, first, last, by, strict=True):
        size = x.shape[axis]
        # A negative step may run past the front, which Python writes as an open end.
        stop = None if step < 0 and end < -size else end
        kept = range(size)[slice(None if step < 0 and start >= size else start, stop, step)]
        x = _selected(x, axis, kept)
    return x


def _selected(x: Tensor, axis: int, kept: range) -> Tensor:
    if kept.step == 1:
        return x.narrow(axis, kept.start if len(kept) else 0, len(kept))
    return x.index_select(axis, torch.tensor(list(kept), dtype=torch.int64, device=x.device))


def _pad(
    call: Call, x: Tensor, pads: Tensor | None = None, value: Tensor | None = None, axes: Tensor | None = None
) -> Tensor:
    amounts = call.setting("pads", pads) or []
    along = [axis % x.ndim for axis in integers_of(axes)] if axes is not None else list(range(x.ndim))
    around = [(0, 0)] * x.ndim
    for index, axis in enumerate(along):
        around[axis] = (amounts[index], amounts[len(along) + index])
    mode = call.text("mode", "constant")
    if mode == "constant":
        fill = value.item() if value is not None else call.number("value", 0.0)
        return functional.pad(x, [amount for pair in reversed(around) for amount in pair], value=fill)
    for axis, (before, after) in enumerate(around):
        x = x.index_select(axis, _mirrored(x.shape[axis], before, after, mode).to(x.device))
    return x


def _mirrored(size: int, before: int, after: int, mode: str) -> Tensor:
    """Return the source of every position of a padded axis."""
    at = torch.arange(-before, size + after)
    if mode == "edge":
        return at.clamp(0, size - 1)
    if mode == "wrap":
        return at % size
    period = max(2 * (size - 1), 1)
    at = at.abs() % period
    return torch.minimum(at, period - at) if size > 1 else at * 0


def _gather(call: Call, x: Tensor, index: Tensor) -> Tensor:
    axis = call.integer("axis", 0) % x.ndim
    at = torch.where(index < 0, index + x.shape[axis], index)
    picked = x.index_select(axis, at.reshape(-1))
    return picked.reshape([*x.shape[:axis], *index.shape, *x.shape[axis + 1 :]])


def _gather_elements(call: Call, x: Tensor, index: Tensor) -> Tensor:
    axis = call.integer("axis", 0)
    return torch.gather(x, axis, torch.where(index < 0, index + x.shape[axis], index))


def _expand(call: Call, x: Tensor, shape: Tensor) -> Tensor:
    wanted = integers_of(shape)
    return x.expand(np.broadcast_shapes(tuple(x.shape), tuple(wanted)))


def _tile(call: Call, x: Tensor, repeats: Tensor) -> Tensor:
    return x.repeat(integers_of(repeats))


def _depth_to_space(call: Call, x: Tensor) -> Tensor:
    block = call.integer("blocksize", 1)
    samples, channels, height, width = x.shape
    depth = channels // block**2
    if call.text("mode", "DCR") == "DCR":
        split = x.reshape(samples, block, block, depth, height, width).permute(0, 3, 4, 1, 5, 2)
    else:
        split = x.reshape(samples, depth, block, block, height, width).permute(0, 1, 4, 2, 5, 3)
    return split.reshape(samples, depth, height * block, width * block)


def _space_to_depth(call: Call, x: Tensor) -> Tensor:
    block = call.integer("blocksize", 1)
    samples, channels, height, width = x.shape
    split = x.reshape(samples, channels, height // block, block, width // block, block)
    return split.permute(0, 3, 5, 1, 2, 4).reshape(samples, -1, height // block, width // block)


def _trilu(call: Call, x: Tensor, diagonal: Tensor | None = None) -> Tensor:
    offset = int(diagonal.item()) if diagonal is not None else 0
    return torch.triu(x, offset) if call.integer("upper", 1) else torch.tril(x, offset)


OPERATORS: dict[str, Operator] = {
    "Concat": _concat,
    "DepthToSpace": _depth_to_space,
    "Expand": _expand,
    "Flatten": _flatten,
    "Gather": _gather,
    "GatherElements": _gather_elements,
    "Pad": _pad,
    "Reshape": _reshape,
    "Slice": _slice,
    "SpaceToDepth": _space_to_depth,
    "Split": _split,
    "Squeeze": _squeeze,
    "Tile": _tile,
    "Transpose": _transpose,
    "Trilu": _trilu,
    "Unsqueeze": _unsqueeze,
}
"""By name."""
