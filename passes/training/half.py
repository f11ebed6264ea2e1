"""Training in half precision, emulated on a CPU: what is stored between operators is rounded to fp16.

Operators multiply and add in float32, as matrix units with fp16 inputs do. Every gradient that one operator
hands to another is rounded to fp16, and may be scaled on the way; such scales are powers of two.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from passes.training.bridge import Bridge, Step, Values
    from passes.training.call import Call, Operator

LAYERS = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"})
"""Operators whose gradients are products."""


@dataclass(frozen=True, slots=True)
class GradientScales:
    """Factors by which gradients are larger than they are, all powers of two.

    Attributes:
        tensors: of the gradient of each tensor, by name; 1 for names that are not there.
        layers: by which the gradient of a layer's result grows further before it is multiplied, by node name.
    """

    tensors: Mapping[str, float]
    layers: Mapping[str, float]

    @classmethod
    def uniform(cls, names: Iterable[str], scale: float) -> GradientScales:
        """Return one scale for all tensors of these names, and no further ones."""
        return cls(dict.fromkeys(names, scale), {})

    def of(self, tensor: str) -> float:
        """Return the scale of a tensor's gradient."""
        return self.tensors.get(tensor, 1.0)


class _Edge(torch.autograd.Function):  # type: ignore[misc,unused-ignore]
    """Rounded to fp16 both ways; backwards multiplied as well."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, factor: float) -> Tensor:
        ctx.factor = factor
        return in_half(x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return in_half(gradient * ctx.factor), None


def in_half(x: Tensor) -> Tensor:
    """Return numbers as fp16 holds them, in float32: too small ones are 0, too large ones infinite."""
    return x.to(torch.float16).to(torch.float32)


def halved(bridge: Bridge, scales: GradientScales) -> Bridge:
    """Return a bridge that runs in half precision.

    The gradient of a constant or an input comes out at the scale that `scales` has for its name.

    Args:
        bridge: a float graph.
        scales: of all gradients. Where readers of a tensor hand back gradients of different scales, each is
            brought to that of the tensor before they are added.
    """
    return replace(bridge, steps=tuple(_halved(step, scales) for step in bridge.steps))


def _halved(step: Step, scales: GradientScales) -> Step:
    gain = scales.layers.get(step.call.name, 1.0)
    given = scales.of(step.outputs[0]) * gain
    factors = [scales.of(name) / given for name in step.inputs]

    def run(call: Call, *inputs: Tensor | None) -> Tensor | tuple[Tensor, ...]:
        pairs = zip(inputs, factors, strict=True)
        found = step.function(call, *(None if it is None else _edge(it, factor) for it, factor in pairs))
        results = found if isinstance(found, tuple) else (found,)
        scaled = tuple(_edge(result, gain) for result in results)
        return scaled if isinstance(found, tuple) else scaled[0]

    function: Operator = run
    return replace(step, function=function)


def _edge(x: Tensor, factor: float) -> Tensor:
    if not x.is_floating_point():
        return x
    found: Tensor = _Edge.apply(x, factor)  # type: ignore[no-untyped-call,unused-ignore]
    return found


def gradients(
    bridge: Bridge,
    feeds: Values,
    weights: Values,
    loss: Callable[[Values], Tensor],
    scales: GradientScales | None,
) -> tuple[float, Values]:
    """Return the loss and the gradients of the weights, in their true size.

    Args:
        bridge: a float graph.
        feeds: its inputs.
        weights: constants to learn, by name; in float32.
        loss: maps the results to a number.
        scales: for half precision; ``None`` computes in float32.
    """
    leaves = {name: it.detach().requires_grad_() for name, it in weights.items()}
    used = bridge if scales is None else halved(bridge, scales)
    results = used.run({**feeds, **leaves})
    if scales is not None:
        results = {name: _edge(it, scales.of(name)) for name, it in results.items()}
    value = loss(results)
    torch.autograd.backward([value])
    found = {
        name: torch.zeros_like(leaf) if leaf.grad is None else leaf.grad / (scales.of(name) if scales else 1)
        for name, leaf in leaves.items()
    }
    return float(value.detach()), found
