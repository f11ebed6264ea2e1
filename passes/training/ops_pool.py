"""Pooling (ONNX MaxPool, AveragePool, GlobalMaxPool, GlobalAveragePool)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn import functional

from passes.training.ops_layers import flat_pads, resolved_pads

if TYPE_CHECKING:
    from passes.training.call import Call, Operator

_MAX: tuple[Any, ...] = (functional.max_pool1d, functional.max_pool2d, functional.max_pool3d)
_AVERAGE: tuple[Any, ...] = (functional.avg_pool1d, functional.avg_pool2d, functional.avg_pool3d)
Window = tuple[list[int], list[int], list[int], list[tuple[int, int]], list[int]]
"""Kernel, strides, dilations, pads, and what ``ceil_mode`` adds behind each axis."""


def _window(call: Call, x: Tensor) -> Window:
    size = list(x.shape[2:])
    kernel = call.integers("kernel_shape", ())
    strides, dilations = (call.integers(key, [1] * len(size)) for key in ("strides", "dilations"))
    pads = resolved_pads(call, size, kernel, strides, dilations)
    extra = [0] * len(size)
    if call.integer("ceil_mode", 0):
        for axis, (before, after) in enumerate(pads):
            span = (kernel[axis] - 1) * dilations[axis] + 1
            length = size[axis] + before + after
            count = -(-(length - span) // strides[axis]) + 1
            # A window that would start behind the image and its padding in front is left out.
            count -= (count - 1) * strides[axis] >= size[axis] + before
            extra[axis] = max((count - 1) * strides[axis] + span - length, 0)
    return kernel, strides, dilations, pads, extra


def _max_pool(call: Call, x: Tensor) -> Tensor:
    kernel, strides, dilations, pads, extra = _window(call, x)
    around = [(before, after + more) for (before, after), more in zip(pads, extra, strict=True)]
    if any(before or after for before, after in around):
        x = functional.pad(x, flat_pads(around), value=float("-inf"))
    result: Tensor = _MAX[x.ndim - 3](x, kernel, strides, 0, dilations)
    return result


def _average_pool(call: Call, x: Tensor) -> Tensor:
    """Divide sums by the number of positions that count: pads only where ``count_include_pad`` says so."""
    kernel, strides, _, pads, extra = _window(call, x)
    pool = _AVERAGE[x.ndim - 3]
    if not any(map(sum, pads)) and not any(extra):
        plain: Tensor = pool(x, kernel, strides)
        return plain
    behind = flat_pads([(0, more) for more in extra])
    include = float(call.integer("count_include_pad", 0))
    counted = functional.pad(torch.ones_like(x[:1, :1]), flat_pads(pads), value=include)
    means = pool(functional.pad(functional.pad(x, flat_pads(pads)), behind), kernel, strides)
    shares: Tensor = pool(functional.pad(counted, behind), kernel, strides)
    result: Tensor = means / shares
    return result


def _spatial(x: Tensor) -> list[int]:
    return list(range(2, x.ndim))


def refuse_max_pool(call: Call) -> str:
    """Say why a MaxPool cannot run, or return nothing."""
    return "its second output, the indices, is not supported" if call.outputs > 1 else ""


def refuse_average_pool(call: Call) -> str:
    """Say why an AveragePool cannot run, or return nothing."""
    dilated = any(value != 1 for value in call.integers("dilations", ()))
    return "dilations are not supported" if dilated else ""


OPERATORS: dict[str, Operator] = {
    "AveragePool": _average_pool,
    "GlobalAveragePool": lambda call, x: x.mean(dim=_spatial(x), keepdim=True),
    "GlobalMaxPool": lambda call, x: x.amax(dim=_spatial(x), keepdim=True),
    "MaxPool": _max_pool,
}
"""By name."""
