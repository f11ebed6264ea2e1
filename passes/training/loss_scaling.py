"""How gradients are scaled so that fp16 holds them: not at all, by one number, or layer by layer.

The last is adaptive loss scaling [arXiv 1910.12385]. For a layer with incoming gradient g and weights w, a
product of the two is taken as normal about 0 with ``sigma**2 = (E[g**2]) (E[w**2])``, and sums of f products
as ``sigma sqrt(f / 2)``; the layer scales g by the least power of two at which a share `SHARE` of its sums
underflows, as far as no sum can overflow.

That says nothing of the gradients of weights, nor of operators that are no products: the gradient of a result
is scaled so that those that an operator hands on, of whatever size they were last, do not underflow either.
Sizes come from a pass in float32 now and then, those of the paper from the gradients in fp16 on the way.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

import torch

from passes.numerics.float_formats import FP16, least_scale
from passes.training.half import LAYERS, GradientScales

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from torch import Tensor

    from passes.training.bridge import Bridge, Step, Values

SHARE = 1e-3
"""Share of the products of a layer that may underflow."""
LARGEST_SCALE = 2.0**20
"""Limit of what all on the way may scale by."""
ROOM = 4.0
"""Distance of the largest gradient from the largest number: it changes until scales are taken anew."""
GROWTH_STEPS, GROWTH = 200, 2.0
"""Dynamic scaling grows by so much after so many steps without overflow, and shrinks by as much at each."""
FIRST_DYNAMIC = 2.0**16


class Scaling(StrEnum):
    """How gradients are scaled."""

    NONE = "none"
    FIXED = "fixed"
    """The loss by one number."""
    DYNAMIC = "dynamic"
    """The loss by a number that falls when a gradient overflows and rises when none has for long."""
    ADAPTIVE = "adaptive"
    """Each layer by its own gradients."""


@dataclass(frozen=True, slots=True)
class Moments:
    """What is known of a tensor's values: root of their mean square, and their largest magnitude."""

    size: float
    largest: float

    @classmethod
    def of(cls, values: Tensor) -> Moments:
        """Measure a tensor."""
        if not values.numel():
            return cls(0.0, 0.0)
        return cls(float(values.double().square().mean().sqrt()), float(values.abs().max()))


def gradient_moments(
    bridge: Bridge, feeds: Values, weights: Values, loss: Callable[[Values], Tensor]
) -> dict[str, Moments]:
    """Return the moments of the gradient of every floating-point tensor, from a pass in float32.

    Args:
        bridge: a float graph.
        feeds: its inputs.
        weights: constants that are learned, by name.
        loss: maps the results to a number.
    """
    kept: Values = {name: it.detach().requires_grad_() for name, it in weights.items()}

    def keep(name: str) -> Callable[[Tensor], Tensor]:
        def change(value: Tensor) -> Tensor:
            if value.is_floating_point() and value.requires_grad:
                value.retain_grad()
                kept[name] = value
            return value

        return change

    changes = {name: keep(name) for step in bridge.steps for name in step.outputs if name}
    torch.autograd.backward([loss(bridge.run({**feeds, **kept}, (), changes))])
    return {name: Moments.of(it.grad) for name, it in kept.items() if it.grad is not None}


def adaptive_scales(bridge: Bridge, weights: Values, moments: Mapping[str, Moments]) -> GradientScales:
    """Return the scales of all gradients, from the results of a graph back to its inputs.

    Where several readers hand gradients back to one tensor, the largest scale is taken at which their sum
    still fits, as all of them must have the same before they are added.

    Args:
        bridge: a float graph.
        weights: constants that are learned, by name.
        moments: of the gradients, by tensor name.
    """
    tensors: dict[str, float] = {name: _own(moments.get(name)) for name in bridge.outputs}
    layers: dict[str, float] = {}
    for step in reversed(bridge.steps):
        given = tensors.get(step.outputs[0], 1.0)
        layers[step.call.name] = gain = _gain(step, moments, given, _products(step, bridge, weights, moments))
        for name in filter(None, step.inputs):
            tensors[name] = min(max(tensors.get(name, 0.0), given * gain), _limit(moments.get(name)))
    return GradientScales(tensors, layers)


def _gain(step: Step, moments: Mapping[str, Moments], given: float, wanted: float) -> float:
    """Return the factor by which a step changes the gradient of its result, before it uses it.

    What it hands on is rounded at once: a factor behind it would come too late.

    Args:
        step: an operator.
        moments: of the gradients, by tensor name.
        given: scale of the gradient of its result.
        wanted: least scale by the model of products.
    """
    handed = [moments[name] for name in step.inputs if name in moments]
    most = min(_limit(it) for it in (moments.get(step.outputs[0]), *handed))
    return _power(min(max([given, wanted, *map(_own, handed)]), most), least=None) / given


def _products(step: Step, bridge: Bridge, weights: Values, moments: Mapping[str, Moments]) -> float:
    """Return the least scale at which the products of a layer do not underflow; 0 for what is no layer."""
    gradient = moments.get(step.outputs[0])
    if step.call.op not in LAYERS or gradient is None or not gradient.size:
        return 0.0
    weight = weights.get(step.inputs[1], bridge.constants.get(step.inputs[1]))
    if weight is None:
        return 0.0
    found, fan = Moments.of(weight), _fan(step, weight)
    sigma = gradient.size * found.size * math.sqrt(0.5 * fan)
    if not sigma:
        return 0.0
    # Neither the gradient itself nor a sum of its products may overflow.
    highest = FP16.largest / ROOM / (gradient.largest * max(1.0, fan * found.largest))
    return min(least_scale(sigma, SHARE, FP16), highest)


def _fan(step: Step, weight: Tensor) -> int:
    """Return how many products the gradient of one input element is a sum of, at most."""
    if step.call.op in ("Gemm", "MatMul"):
        return int(weight.shape[0] if step.call.integer("transB", 0) else weight.shape[-1])
    return int(weight.numel() // weight.shape[1])


def _own(moments: Moments | None) -> float:
    """Return the scale at which nearly all of a gradient is held, by its own size."""
    if moments is None or not moments.size:
        return 1.0
    return _power(min(least_scale(moments.size, SHARE, FP16), _limit(moments)), least=0)


def _limit(moments: Moments | None) -> float:
    """Return the largest scale of a gradient at which its largest element is held with room to spare."""
    if moments is None or not moments.largest:
        return LARGEST_SCALE
    return _power(min(FP16.largest / ROOM / moments.largest, LARGEST_SCALE), least=None)


def _power(value: float, least: int | None) -> float:
    """Return the next lower power of two; not below ``2**least``."""
    exponent = math.floor(math.log2(value))
    return 2.0 ** (exponent if least is None else max(exponent, least))
