"""Operators that work element by element, with numpy broadcasting (ONNX opset 7 to 24)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional

if TYPE_CHECKING:
    from collections.abc import Callable

    from passes.training.call import Call, Operator


def _unary(function: Callable[[Tensor], Tensor]) -> Operator:
    return lambda call, x: function(x)


def _binary(function: Callable[[Tensor, Tensor], Tensor]) -> Operator:
    return lambda call, a, b: function(a, b)


def _folded(function: Callable[[Tensor, Tensor], Tensor]) -> Operator:
    """Apply a function of two to any number of inputs, from the left."""

    def fold(call: Call, first: Tensor, *others: Tensor) -> Tensor:
        for other in others:
            first = function(first, other)
        return first

    return fold


def _div(call: Call, a: Tensor, b: Tensor) -> Tensor:
    return a / b if a.is_floating_point() else torch.div(a, b, rounding_mode="trunc")


def _mod(call: Call, a: Tensor, b: Tensor) -> Tensor:
    return torch.fmod(a, b) if call.integer("fmod", 0) else torch.remainder(a, b)


def _pow(call: Call, a: Tensor, b: Tensor) -> Tensor:
    return torch.pow(a, b).to(a.dtype)


def _clip(call: Call, x: Tensor, low: Tensor | None = None, high: Tensor | None = None) -> Tensor:
    bounds = (
        (call.attrs.get("min") if low is None else low),
        (call.attrs.get("max") if high is None else high),
    )
    if x.is_floating_point() and all(it is not None and torch.as_tensor(it).numel() == 1 for it in bounds):
        least, largest = (float(torch.as_tensor(it)) for it in bounds)
        if least < largest:
            # The gradient of this one takes a fraction of the time of that of two comparisons.
            return functional.hardtanh(x, least, largest)
    if bounds[0] is not None:
        x = torch.maximum(x, torch.as_tensor(bounds[0], dtype=x.dtype, device=x.device))
    if bounds[1] is not None:
        x = torch.minimum(x, torch.as_tensor(bounds[1], dtype=x.dtype, device=x.device))
    return x


def _gelu(call: Call, x: Tensor) -> Tensor:
    return functional.gelu(x, approximate=call.text("approximate", "none"))


def _swish(call: Call, x: Tensor) -> Tensor:
    return x * torch.sigmoid(call.number("alpha", 1.0) * x)


def _hard_sigmoid(call: Call, x: Tensor) -> Tensor:
    return torch.clamp(call.number("alpha", 0.2) * x + call.number("beta", 0.5), 0.0, 1.0)


def _selu(call: Call, x: Tensor) -> Tensor:
    alpha, gamma = call.number("alpha", 1.6732632), call.number("gamma", 1.0507010)
    return gamma * torch.where(x > 0, x, alpha * torch.expm1(torch.clamp(x, max=0.0)))


def _prelu(call: Call, x: Tensor, slope: Tensor) -> Tensor:
    return torch.where(x >= 0, x, slope * x)


def _dropout(call: Call, x: Tensor, *settings: Tensor | None) -> tuple[Tensor, ...]:
    """Outside training nothing is dropped, and the mask, where it is asked for, is true."""
    return (x, torch.ones_like(x, dtype=torch.bool))[: call.outputs]


def _where(call: Call, condition: Tensor, a: Tensor, b: Tensor) -> Tensor:
    return torch.where(condition, a, b)


def _softplus(x: Tensor) -> Tensor:
    return torch.logaddexp(x, torch.zeros_like(x))


_UNARY: dict[str, Callable[[Tensor], Tensor]] = {
    "Abs": torch.abs,
    "Ceil": torch.ceil,
    "Cos": torch.cos,
    "Erf": torch.erf,
    "Exp": torch.exp,
    "Floor": torch.floor,
    "Identity": lambda x: x,
    "Log": torch.log,
    "Mish": functional.mish,
    "Neg": torch.neg,
    "Not": torch.logical_not,
    "Reciprocal": torch.reciprocal,
    "Relu": torch.relu,
    "Round": torch.round,
    "Sigmoid": torch.sigmoid,
    "Sign": torch.sign,
    "Sin": torch.sin,
    "Softplus": _softplus,
    "Softsign": functional.softsign,
    "Sqrt": torch.sqrt,
    "Tanh": torch.tanh,
}
_BINARY: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "Add": torch.add,
    "And": torch.logical_and,
    "Equal": torch.eq,
    "Greater": torch.gt,
    "GreaterOrEqual": torch.ge,
    "Less": torch.lt,
    "LessOrEqual": torch.le,
    "Mul": torch.mul,
    "Or": torch.logical_or,
    "Sub": torch.sub,
    "Xor": torch.logical_xor,
}

OPERATORS: dict[str, Operator] = {
    **{name: _unary(function) for name, function in _UNARY.items()},
    **{name: _binary(function) for name, function in _BINARY.items()},
    "Clip": _clip,
    "Div": _div,
    "Dropout": _dropout,
    "Elu": lambda call, x: functional.elu(x, call.number("alpha", 1.0)),
    "Gelu": _gelu,
    "HardSigmoid": _hard_sigmoid,
    "HardSwish": lambda call, x: x * torch.clamp(x / 6.0 + 0.5, 0.0, 1.0),
    "LeakyRelu": lambda call, x: functional.leaky_relu(x, call.number("alpha", 0.01)),
    "Max": _folded(torch.maximum),
    "Min": _folded(torch.minimum),
    "Mod": _mod,
    "PRelu": _prelu,
    "Pow": _pow,
    "Selu": _selu,
    "Swish": _swish,
    "Sum": _folded(torch.add),
    "ThresholdedRelu": lambda call, x: torch.where(x > call.number("alpha", 1.0), x, torch.zeros_like(x)),
    "Where": _where,
}
"""By name."""
