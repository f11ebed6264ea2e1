"""Training in half precision: emulated on any machine, or by PyTorch's autocast where fp16 is fast.

Emulated, what is stored between operators is rounded to fp16. Operators multiply and add in float32, as
matrix units with fp16 inputs do. Every gradient that one operator hands to another is rounded to fp16, and
may be scaled on the way; such scales are powers of two. Under autocast the operators do the rounding, and
what is left to do is the scaling.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Set

    from passes.training.bridge import Bridge, Step, Values
    from passes.training.call import Call, Operator

LAYERS = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"})
"""Operators whose gradients are products."""


@dataclass(frozen=True, slots=True)
class GradientScales:
    """Factors by which gradients are larger than they are, all powers of two.

    Attributes:
        tensors: of the gradient of each tensor, by name; 1 for names that are not there.
        layers: of the gradient of an operator's result, before the operator uses it, by node name.
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


@dataclass(frozen=True, slots=True)
class _Edge:
    """What happens to a tensor between two operators.

    Attributes:
        factor: of its gradient, once that is rounded.
        ahead, back: whether it, and its gradient, are rounded to fp16; not where they are fp16 already.
    """

    factor: float
    ahead: bool
    back: bool

    def __call__(self, x: Tensor) -> Tensor:
        idle = self.factor == 1 and not (self.ahead or self.back)
        if idle or not x.is_floating_point():
            return x
        found: Tensor = _Pass.apply(x, self)  # type: ignore[no-untyped-call,unused-ignore]
        return found


class _Pass(torch.autograd.Function):  # type: ignore[misc,unused-ignore]
    """An edge, both ways."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, edge: _Edge) -> Tensor:
        ctx.edge = edge
        return in_half(x) if edge.ahead else x.view_as(x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        found = in_half(gradient) if ctx.edge.back else gradient
        if ctx.edge.factor != 1:
            found = in_half(found * ctx.edge.factor) if ctx.edge.back else found * ctx.edge.factor
        return found, None


def in_half(x: Tensor) -> Tensor:
    """Return numbers as fp16 holds them, in float32: too small ones are 0, too large ones infinite."""
    return x.to(torch.float16).to(torch.float32)


def halved(bridge: Bridge, scales: GradientScales, *, rounded: bool = True) -> Bridge:
    """Return a bridge that runs in half precision.

    The gradient of a constant or an input comes out at the scale that `scales` has for its name.

    Args:
        bridge: a float graph.
        scales: of all gradients. Where readers of a tensor hand back gradients of different scales, each is
            brought to that of the tensor before they are added.
        rounded: whether tensors and gradients are rounded here, as nothing else does it.
    """
    made = {name for step in bridge.steps for name in step.outputs}
    readers = Counter(name for step in bridge.steps for name in step.inputs)
    several = {name for name, count in readers.items() if count > 1}.union(bridge.outputs)
    steps = (_halved(step, scales, made if rounded else None, several) for step in bridge.steps)
    return replace(bridge, steps=tuple(steps))


def _halved(step: Step, scales: GradientScales, made: Set[str] | None, several: Set[str]) -> Step:
    """Return a step between its edges; it rounds if `made`, the tensors that other steps round, is given.

    A gradient that comes from one reader alone is rounded there; a sum, or that of the loss, is rounded here.
    """
    gain, rounded = scales.layers.get(step.call.name, 1.0), made is not None
    given = scales.of(step.outputs[0]) * gain
    before = [_Edge(scales.of(it) / given, rounded and it not in (made or ()), rounded) for it in step.inputs]
    behind = [_Edge(gain, rounded, rounded and (gain != 1 or it in several)) for it in step.outputs]

    def run(call: Call, *inputs: Tensor | None) -> Tensor | tuple[Tensor, ...]:
        pairs = zip(before, inputs, strict=True)
        found = step.function(call, *(None if it is None else edge(it) for edge, it in pairs))
        results = found if isinstance(found, tuple) else (found,)
        scaled = tuple(edge(result) for edge, result in zip(behind, results, strict=False))
        return scaled if isinstance(found, tuple) else scaled[0]

    function: Operator = run
    return replace(step, function=function)


def gradients(
    bridge: Bridge,
    feeds: Values,
    weights: Values,
    loss: Callable[[Values], Tensor],
    scales: GradientScales | None,
    *,
    autocast: bool = False,
) -> tuple[float, Values]:
    """Return the loss and the gradients of the weights, in their true size.

    Args:
        bridge: a float graph, on the device that computes.
        feeds: its inputs.
        weights: constants to learn, by name; in float32.
        loss: maps the results, in float32, to a number.
        scales: for half precision; ``None`` computes in float32.
        autocast: compute in the fp16 of the device, rather than emulate it.
    """
    leaves = {name: it.detach().requires_grad_() for name, it in weights.items()}
    half = scales or GradientScales({}, {})
    used = bridge if scales is None else halved(bridge, half, rounded=not autocast)
    with torch.autocast(bridge.device.type, torch.float16, enabled=autocast and scales is not None):
        results = used.run({**feeds, **leaves})
    if scales is not None:
        # The loss is scaled in float32, before its gradient is rounded.
        edges = {name: _Edge(half.of(name), ahead=False, back=False) for name in results}
        results = {name: edges[name](it.float()) for name, it in results.items()}
    value = loss(results)
    torch.autograd.backward([value])
    found = {
        name: torch.zeros_like(leaf) if leaf.grad is None else leaf.grad / half.of(name)
        for name, leaf in leaves.items()
    }
    return float(value.detach()), found
