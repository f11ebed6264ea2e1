"""Reductions and normalizations along axes (ONNX opset 7 to 24)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional

if TYPE_CHECKING:
    from collections.abc import Callable

    from passes.training.call import Call, Operator

_LAST_AXIS_OPSET = 13
"""Since then Softmax works along one axis; before, along all from that axis on."""


def _reduced(function: Callable[[Tensor, list[int], bool], Tensor]) -> Operator:
    """Take axes from the attribute or the input; none means all, unless that is to do nothing."""

    def reduce(call: Call, x: Tensor, axes: Tensor | None = None) -> Tensor:
        along = call.setting("axes", axes)
        if not along and call.integer("noop_with_empty_axes", 0):
            return x
        return function(x, along or list(range(x.ndim)), bool(call.integer("keepdims", 1)))

    return reduce


def _l2(x: Tensor, along: list[int], keep: bool) -> Tensor:
    return torch.sqrt(torch.sum(x * x, dim=along, keepdim=keep))


def _product(x: Tensor, along: list[int], keep: bool) -> Tensor:
    for axis in sorted((axis % x.ndim for axis in along), reverse=True):
        x = x.prod(dim=axis, keepdim=keep)
    return x


def _softmax(call: Call, x: Tensor) -> Tensor:
    return _along_axis(call, x, functional.softmax)


def _log_softmax(call: Call, x: Tensor) -> Tensor:
    return _along_axis(call, x, functional.log_softmax)


def _along_axis(call: Call, x: Tensor, function: Callable[..., Tensor]) -> Tensor:
    if call.opset >= _LAST_AXIS_OPSET:
        return function(x, dim=call.integer("axis", -1))
    axis = call.integer("axis", 1) % max(x.ndim, 1)
    return function(x.flatten(axis), dim=axis).reshape(x.shape)


def _layer_normalization(
    call: Call, x: Tensor, gain: Tensor, shift: Tensor | None = None
) -> tuple[Tensor, ...]:
    """Return the result, and mean and inverse deviation where they are asked for."""
    axis = call.integer("axis", -1) % x.ndim
    along = list(range(axis, x.ndim))
    mean = x.mean(dim=along, keepdim=True)
    centred = x - mean
    inverse = torch.rsqrt(centred.square().mean(dim=along, keepdim=True) + call.number("epsilon", 1e-5))
    result = centred * inverse * gain
    return (result if shift is None else result + shift, mean, inverse)[: call.outputs]


def _rms_normalization(call: Call, x: Tensor, gain: Tensor) -> Tensor:
    along = list(range(call.integer("axis", -1) % x.ndim, x.ndim))
    power = x.square().mean(dim=along, keepdim=True)
    return x * torch.rsqrt(power + call.number("epsilon", 1e-5)) * gain


def _instance_normalization(call: Call, x: Tensor, gain: Tensor, shift: Tensor) -> Tensor:
    return functional.instance_norm(x, weight=gain, bias=shift, eps=call.number("epsilon", 1e-5))


def _arg_max(call: Call, x: Tensor) -> Tensor:
    return x.argmax(dim=call.integer("axis", 0), keepdim=bool(call.integer("keepdims", 1)))


def _cumulative_sum(call: Call, x: Tensor, axis: Tensor) -> Tensor:
    return x.cumsum(dim=int(axis.item()))


def refuse_arg_max(call: Call) -> str:
    """Say why an ArgMax cannot run, or return nothing."""
    return "select_last_index is not supported" if call.integer("select_last_index", 0) else ""


def refuse_cumulative_sum(call: Call) -> str:
    """Say why a CumSum cannot run, or return nothing."""
    odd = call.integer("exclusive", 0) or call.integer("reverse", 0)
    return "exclusive and reverse are not supported" if odd else ""


OPERATORS: dict[str, Operator] = {
    "ArgMax": _arg_max,
    "CumSum": _cumulative_sum,
    "InstanceNormalization": _instance_normalization,
    "LayerNormalization": _layer_normalization,
    "LogSoftmax": _log_softmax,
    "RMSNormalization": _rms_normalization,
    "ReduceL1": _reduced(lambda x, along, keep: x.abs().sum(dim=along, keepdim=keep)),
    "ReduceL2": _reduced(_l2),
    "ReduceMax": _reduced(lambda x, along, keep: x.amax(dim=along, keepdim=keep)),
    "ReduceMean": _reduced(lambda x, along, keep: x.mean(dim=along, keepdim=keep)),
    "ReduceMin": _reduced(lambda x, along, keep: x.amin(dim=along, keepdim=keep)),
    "ReduceProd": _reduced(_product),
    "ReduceSum": _reduced(lambda x, along, keep: x.sum(dim=along, keepdim=keep, dtype=x.dtype)),
    "ReduceSumSquare": _reduced(lambda x, along, keep: (x * x).sum(dim=along, keepdim=keep)),
    "Softmax": _softmax,
}
"""By name."""
