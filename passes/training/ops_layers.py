"""Operators that multiply: Conv, ConvTranspose, Gemm, MatMul, and BatchNormalization at inference."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn import functional

if TYPE_CHECKING:
    from collections.abc import Sequence

    from passes.training.call import Call, Operator

_CONV: tuple[Any, ...] = (functional.conv1d, functional.conv2d, functional.conv3d)
_TRANSPOSE: tuple[Any, ...] = (
    functional.conv_transpose1d,
    functional.conv_transpose2d,
    functional.conv_transpose3d,
)


def resolved_pads(
    call: Call, size: Sequence[int], kernel: Sequence[int], strides: Sequence[int], dilations: Sequence[int]
) -> list[tuple[int, int]]:
    """Return the padding (before, after) of each spatial axis, with ``auto_pad`` worked out.

    Args:
        call: the node.
        size: spatial sizes of the input.
        kernel: spatial sizes of the window.
        strides: of the window.
        dilations: of the window.
    """
    mode, rank = call.text("auto_pad", "NOTSET"), len(size)
    if mode not in ("SAME_UPPER", "SAME_LOWER"):
        pads = call.integers("pads", [0] * 2 * rank) if mode == "NOTSET" else [0] * 2 * rank
        return list(zip(pads[:rank], pads[rank:], strict=True))
    totals = [
        max((-(-length // stride) - 1) * stride + (taps - 1) * dilation + 1 - length, 0)
        for length, taps, stride, dilation in zip(size, kernel, strides, dilations, strict=True)
    ]
    smaller = [(total // 2, total - total // 2) for total in totals]
    return smaller if mode == "SAME_UPPER" else [(after, before) for before, after in smaller]


def flat_pads(pads: Sequence[tuple[int, int]]) -> list[int]:
    """Return padding in the order of ``torch.nn.functional.pad``: last axis first."""
    return [amount for pair in reversed(pads) for amount in pair]


def _conv(call: Call, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    rank = x.ndim - 2
    strides, dilations = call.integers("strides", [1] * rank), call.integers("dilations", [1] * rank)
    pads = resolved_pads(call, x.shape[2:], weight.shape[2:], strides, dilations)
    even = all(before == after for before, after in pads)
    if not even:
        x = functional.pad(x, flat_pads(pads))
    padding = [before for before, _ in pads] if even else [0] * rank
    result: Tensor = _CONV[rank - 1](x, weight, bias, strides, padding, dilations, call.integer("group", 1))
    return result


def _conv_transpose(call: Call, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Compute without padding, then cut the pads off: they may differ between the two ends."""
    rank = x.ndim - 2
    strides, dilations = call.integers("strides", [1] * rank), call.integers("dilations", [1] * rank)
    extra = call.integers("output_padding", [0] * rank)
    pads = call.integers("pads", [0] * 2 * rank)
    groups = call.integer("group", 1)
    full: Tensor = _TRANSPOSE[rank - 1](x, weight, bias, strides, 0, 0, groups, dilations)
    # Grown at the far end by the output padding, where nothing but the bias is written.
    full = _grown(full, extra, bias) if any(extra) else full
    for axis in range(rank):
        length = full.shape[2 + axis] - pads[axis] - pads[rank + axis]
        full = full.narrow(2 + axis, pads[axis], length)
    return full


def _grown(x: Tensor, extra: Sequence[int], bias: Tensor | None) -> Tensor:
    grown = functional.pad(x, flat_pads([(0, amount) for amount in extra]))
    if bias is None:
        return grown
    inside = functional.pad(torch.ones_like(x[:1, :1]), flat_pads([(0, amount) for amount in extra]))
    return grown + (1 - inside) * bias.reshape(1, -1, *[1] * len(extra))


def _gemm(call: Call, a: Tensor, b: Tensor, c: Tensor | None = None) -> Tensor:
    left = a.t() if call.integer("transA", 0) else a
    right = b.t() if call.integer("transB", 0) else b
    alpha, beta = call.number("alpha", 1.0), call.number("beta", 1.0)
    product = left @ right if alpha == 1.0 else alpha * (left @ right)
    if c is None:
        return product
    return product + (c if beta == 1.0 else beta * c)


def _batch_normalization(
    call: Call, x: Tensor, gain: Tensor, shift: Tensor, mean: Tensor, variance: Tensor
) -> Tensor:
    return functional.batch_norm(x, mean, variance, gain, shift, False, 0.0, call.number("epsilon", 1e-5))


def refuse_transpose(call: Call) -> str:
    """Say why a ConvTranspose cannot run, or return nothing."""
    if call.attrs.get("output_shape") or call.text("auto_pad", "NOTSET") not in ("NOTSET", "VALID"):
        return "output_shape and auto_pad are not supported"
    return ""


def refuse_batch_normalization(call: Call) -> str:
    """Say why a BatchNormalization cannot run, or return nothing."""
    return "it is in training mode" if call.integer("training_mode", 0) or call.outputs > 1 else ""


OPERATORS: dict[str, Operator] = {
    "BatchNormalization": _batch_normalization,
    "Conv": _conv,
    "ConvTranspose": _conv_transpose,
    "Gemm": _gemm,
    "MatMul": lambda call, a, b: torch.matmul(a, b),
}
"""By name."""
