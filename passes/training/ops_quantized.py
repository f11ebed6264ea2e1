"""QuantizeLinear and DequantizeLinear (ONNX opset 10 to 24), so that quantized models run too."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from passes.training.call import Call, Operator

_LIMITS = {torch.uint8: (0, 255), torch.int8: (-128, 127), torch.int16: (-(2**15), 2**15 - 1)}


def _broadcast(call: Call, values: Tensor, x: Tensor) -> Tensor:
    if values.ndim == 0 or values.numel() == 1:
        return values.reshape(())
    shape = [1] * x.ndim
    shape[call.integer("axis", 1) % x.ndim] = -1
    return values.reshape(shape)


def _quantize(call: Call, x: Tensor, scale: Tensor, zero: Tensor | None = None) -> Tensor:
    kind = torch.uint8 if zero is None else zero.dtype
    steps = torch.round(x / _broadcast(call, scale, x))
    steps = steps if zero is None else steps + _broadcast(call, zero, x).to(steps.dtype)
    return torch.clamp(steps, *_LIMITS[kind]).to(kind)


def _dequantize(call: Call, x: Tensor, scale: Tensor, zero: Tensor | None = None) -> Tensor:
    steps = x.to(torch.int32)
    steps = steps if zero is None else steps - _broadcast(call, zero, x).to(torch.int32)
    return steps.to(scale.dtype) * _broadcast(call, scale, x)


def refuse_quantized(call: Call) -> str:
    """Say why a QuantizeLinear or DequantizeLinear cannot run, or return nothing."""
    return "a block_size is not supported" if call.integer("block_size", 0) else ""


OPERATORS: dict[str, Operator] = {"DequantizeLinear": _dequantize, "QuantizeLinear": _quantize}
"""By name."""
