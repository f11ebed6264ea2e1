"""Resize and Upsample: nearest and linear, axis by axis (ONNX Resize opset 10 to 19, Upsample 9)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from passes.training.call import integers_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from passes.training.call import Call, Operator

COORDINATES = ("half_pixel", "pytorch_half_pixel", "asymmetric", "align_corners")
_FIRST_COORDINATES = 11
"""The opset that introduced ways to place coordinates; before, they were asymmetric and rounded down."""


def _resize(call: Call, x: Tensor, *settings: Tensor | None) -> Tensor:
    scales, sizes = _extents(call, settings)
    axes = call.integers("axes", range(x.ndim))
    for index, axis in enumerate(axes):
        before = x.shape[axis]
        after = sizes[index] if sizes else int(np.floor(before * scales[index]))
        scale = after / before if sizes else scales[index]
        if after != before or scale != 1.0:
            x = _resized(call, x, axis, _coordinates(call, before, after, scale))
    return x


def _extents(call: Call, settings: tuple[Tensor | None, ...]) -> tuple[list[float], list[int]]:
    """Return scales or sizes; the inputs are (scales) in opset 10 and (roi, scales, sizes) since 11."""
    given = settings[0:1] if call.opset < _FIRST_COORDINATES else settings[1:3]
    scales = given[0] if given else None
    sizes = given[1] if len(given) > 1 else None
    if sizes is not None and sizes.numel():
        return [], integers_of(sizes)
    attribute = call.attrs.get("scales", ())
    return [float(it) for it in (scales.tolist() if scales is not None else attribute)], []


def _coordinates(call: Call, before: int, after: int, scale: float) -> NDArray[np.float64]:
    """Return where each element of the result lies in the source, in elements."""
    at = np.arange(after, dtype=np.float64)
    mode = call.text("coordinate_transformation_mode", "half_pixel")
    if call.opset < _FIRST_COORDINATES or mode == "asymmetric":
        return at / scale
    if mode == "align_corners":
        return at * (before - 1) / max(after - 1, 1)
    if mode == "pytorch_half_pixel" and after == 1:
        return at * 0.0
    return (at + 0.5) / scale - 0.5


def _resized(call: Call, x: Tensor, axis: int, at: NDArray[np.float64]) -> Tensor:
    if call.text("mode", "nearest") == "nearest":
        return _picked(x, axis, _nearest(call, at))
    low = np.floor(at)
    share = torch.tensor(at - low, dtype=x.dtype, device=x.device)
    share = share.reshape(-1, *[1] * (x.ndim - axis - 1))
    return _picked(x, axis, low) * (1 - share) + _picked(x, axis, low + 1) * share


def _nearest(call: Call, at: NDArray[np.float64]) -> NDArray[np.float64]:
    default = "floor" if call.opset < _FIRST_COORDINATES else "round_prefer_floor"
    mode = call.text("nearest_mode", default)
    if mode == "floor":
        return np.floor(at)
    if mode == "ceil":
        return np.ceil(at)
    return np.ceil(at - 0.5) if mode == "round_prefer_floor" else np.floor(at + 0.5)


def _picked(x: Tensor, axis: int, at: NDArray[np.float64]) -> Tensor:
    index = np.clip(at, 0, x.shape[axis] - 1).astype(np.int64)
    return x.index_select(axis, torch.from_numpy(index).to(x.device))


def refuse_resize(call: Call) -> str:
    """Say why a Resize cannot run, or return nothing."""
    mode = call.text("mode", "nearest")
    if mode not in ("nearest", "linear"):
        return f"mode {mode} is not supported; nearest and linear are"
    placed = call.text("coordinate_transformation_mode", "half_pixel")
    if placed not in COORDINATES:
        return f"coordinate_transformation_mode {placed} is not supported"
    if call.integer("antialias", 0) or call.text("keep_aspect_ratio_policy", "stretch") != "stretch":
        return "antialias and keep_aspect_ratio_policy are not supported"
    return ""


OPERATORS: dict[str, Operator] = {"Resize": _resize, "Upsample": _resize}
"""By name."""
