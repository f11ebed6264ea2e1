"""Trains a float graph in half precision, emulated or of the device, with gradients scaled as it may need."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from passes.training.half import GradientScales, gradients
from passes.training.loss_scaling import (
    FIRST_DYNAMIC,
    GROWTH,
    GROWTH_STEPS,
    Scaling,
    adaptive_scales,
    gradient_moments,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from passes.training.bridge import Bridge, Values

    Batch = tuple[Values, Callable[[Values], torch.Tensor]]


def _unchanged(step: int) -> float:
    return 1.0


@dataclass(frozen=True, slots=True)
class HalfCourse:
    """How to train.

    Attributes:
        scaling: of gradients; ``None`` trains in float32.
        rate: learning rate of stochastic gradient descent.
        momentum: of the same.
        fixed: the number that `Scaling.FIXED` multiplies the loss by.
        refresh: steps after which `Scaling.ADAPTIVE` looks at gradients again.
        autocast: compute in the fp16 of the bridge's device, rather than emulate it in float32.
        factor: what the rate is multiplied by in a step, counted from 0.
    """

    scaling: Scaling | None
    rate: float
    momentum: float = 0.9
    fixed: float = 128.0
    refresh: int = 10
    autocast: bool = False
    factor: Callable[[int], float] = _unchanged


@dataclass(frozen=True, slots=True)
class HalfRun:
    """What came of it.

    Attributes:
        weights: learned, by name, in float32.
        losses: of every step.
        skipped: steps that were not taken, as a gradient was infinite or NaN.
        lost: share of the elements of weight gradients that are 0 in half precision, in the last step taken,
            where the same gradients in float32 are not; 0 for training in float32.
    """

    weights: Values
    losses: tuple[float, ...]
    skipped: int
    lost: float


class _Scaler:
    """The scales of the next step."""

    def __init__(self, bridge: Bridge, course: HalfCourse) -> None:
        self._bridge, self._course = bridge, course
        self._names = {name for step in bridge.steps for name in (*step.inputs, *step.outputs)}
        self._scale, self._good = FIRST_DYNAMIC, 0
        self._adaptive: GradientScales | None = None

    def scales(self, step: int, weights: Values, batch: Batch) -> GradientScales | None:
        scaling = self._course.scaling
        if scaling is None:
            return None
        if scaling is Scaling.ADAPTIVE:
            if self._adaptive is None or step % self._course.refresh == 0:
                moments = gradient_moments(self._bridge, batch[0], weights, batch[1])
                self._adaptive = adaptive_scales(self._bridge, weights, moments)
            return self._adaptive
        number = {Scaling.NONE: 1.0, Scaling.FIXED: self._course.fixed, Scaling.DYNAMIC: self._scale}
        return GradientScales.uniform(self._names, number[scaling])

    def tell(self, finite: bool) -> None:
        """Hear whether the step could be taken."""
        self._good = self._good + 1 if finite else 0
        if not finite:
            self._scale, self._adaptive = self._scale / GROWTH, None
        elif self._good % GROWTH_STEPS == 0:
            self._scale *= GROWTH


def train_half(bridge: Bridge, weights: Values, batches: Iterable[Batch], course: HalfCourse) -> HalfRun:
    """Train weights kept in float32 with gradients of half precision; the same input gives the same result.

    Args:
        bridge: a float graph.
        weights: constants to learn, by name; not changed.
        batches: feeds, and the loss of the results; one for each step.
        course: how to train.
    """
    learned = {name: it.detach().clone() for name, it in weights.items()}
    speed = {name: torch.zeros_like(it) for name, it in learned.items()}
    scaler, losses, skipped = _Scaler(bridge, course), list[float](), 0
    last: tuple[Batch, Values, Values] | None = None
    for step, batch in enumerate(batches):
        scales = scaler.scales(step, learned, batch)
        loss, found = gradients(bridge, batch[0], learned, batch[1], scales, autocast=course.autocast)
        losses.append(loss)
        finite = all(bool(torch.isfinite(it).all()) for it in found.values())
        scaler.tell(finite)
        if not finite:
            skipped += 1
            continue
        last = (batch, dict(learned), found) if scales else None
        for name, gradient in found.items():
            speed[name] = course.momentum * speed[name] + gradient
            learned[name] = learned[name] - course.rate * course.factor(step) * speed[name]
    return HalfRun(learned, tuple(losses), skipped, _lost(bridge, *last) if last else 0.0)


def _lost(bridge: Bridge, batch: Batch, weights: Values, found: Values) -> float:
    _, exact = gradients(bridge, batch[0], weights, batch[1], None)
    gone = sum(int(((found[name] == 0) & (it != 0)).sum()) for name, it in exact.items())
    return gone / max(sum(int((it != 0).sum()) for it in exact.values()), 1)
