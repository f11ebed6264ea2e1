"""Learn one block: the rounding of its weights, its biases, and the steps of its activations.

The loss is the squared error of the block's results under float targets [BRECQ, arXiv 2102.05426],
with inputs that mix those of the quantized prefix and float ones [QDrop, arXiv 2203.05740].
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from passes.training.parts import Outcome
from passes.training.samples import batches
from passes.training.straight_through import Dropping

if TYPE_CHECKING:
    from collections.abc import Callable

    from passes.training.blocks import Block
    from passes.training.bridge import Bridge
    from passes.training.parts import Parts, Recipe
    from passes.training.samples import Samples, Split
    from passes.training.steps import StepQuantizer

WARM_UP = 0.2
"""Share of the iterations before the regularizer sets in."""
BETA_START, BETA_END = 20.0, 2.0
"""Exponent of the regularizer, annealed from the one to the other."""
LEAST_WARM_UP = 10
"""Iterations before the regularizer from which it can be told that nothing will come of a block."""
TINY = 1e-30


class BlockLearner:
    """Trains the parts of one block."""

    def __init__(
        self, bridge: Bridge, block: Block, quantized: Samples, floats: Samples, split: Split
    ) -> None:
        """Take the entries, from both prefixes, and the float exits of a block for all samples."""
        self._bridge, self._block = bridge, block
        self._quantized, self._floats, self._split = quantized, floats, split
        self._unit: dict[str, float] = {}

    def learn(self, parts: Parts, recipe: Recipe, rng: np.random.Generator) -> Outcome:
        """Train, and keep the result if in whole codes it is better than the start on samples held out."""
        size = recipe.batch if self._quantized.batched else 1
        start = self._errors(parts, size)
        self._unit = {name: max(error, TINY) for name, error in start.items()}
        before = float(len(start))
        parts.begin()
        reason = self._train(parts, recipe, size, rng)
        after = math.fsum(error / self._unit[name] for name, error in self._errors(parts, size).items())
        if not reason and not after < before:
            reason = "it got no better"
        if reason:
            parts.restore()
        return Outcome(before, after, reason)

    def _train(self, parts: Parts, recipe: Recipe, size: int, rng: np.random.Generator) -> str:
        """Return why there is nothing to keep; empty when there may be."""
        optimizer = torch.optim.Adam(parts.rated(recipe.rate, recipe.step_rate, recipe.bias_rate))
        rates = [float(group["lr"]) for group in optimizer.param_groups]
        dropping = Dropping(recipe.drop, rng, self._bridge.device)
        soft: list[float] = []
        for iteration in range(recipe.iterations):
            progress = iteration / recipe.iterations
            for group, rate in zip(optimizer.param_groups, rates, strict=True):
                group["lr"] = rate * 0.5 * (1 + math.cos(math.pi * progress))
            index = self._split.learned[torch.from_numpy(rng.integers(0, len(self._split.learned), size))]
            error = self._loss(parts, index, dropping)
            loss = error + self._push(parts, recipe, progress)
            if not torch.isfinite(loss):
                return "its loss is NaN"
            if progress < WARM_UP:
                soft.append(float(error.detach()))
            elif len(soft) >= LEAST_WARM_UP and self._hopeless(soft):
                return f"soft weights do no better in {iteration} steps"
            optimizer.zero_grad()
            torch.autograd.backward([loss])
            optimizer.step()
        finite = all(bool(torch.isfinite(parameter).all()) for parameter in parts.parameters())
        return "" if finite else "its loss is NaN"

    def _hopeless(self, soft: list[float]) -> bool:
        """True when weights between codes have not got below the error of the codes to start with."""
        late = soft[len(soft) // 2 :]
        return sum(late) / len(late) >= len(self._unit)

    def _push(self, parts: Parts, recipe: Recipe, progress: float) -> Tensor:
        late = (progress - WARM_UP) / (1 - WARM_UP)
        if late < 0 or not parts.weights:
            return torch.zeros((), device=self._bridge.device)
        beta = BETA_END + (BETA_START - BETA_END) * 0.5 * (1 + math.cos(math.pi * late))
        return recipe.regularization * parts.undecided(beta)

    def _loss(self, parts: Parts, index: Tensor, dropping: Dropping) -> Tensor:
        entries, device = self._block.entries, self._bridge.device
        feeds = self._quantized.take(entries, index, device)
        floats = self._floats.take(entries, index, device)
        for name, value in feeds.items():
            stay = dropping.mask(value) if value.is_floating_point() else None
            if stay is not None:
                feeds[name] = torch.lerp(value, floats[name], stay)
        changes = {name: _dropped(step, dropping) for name, step in parts.changes.items()}
        outputs = self._bridge.run({**feeds, **parts.soft()}, self._block.exits, changes)
        targets = self._floats.take(self._block.exits, index, device)
        errors = [
            (value - targets[name]).square().mean() / self._unit[name] for name, value in outputs.items()
        ]
        return torch.stack(errors).sum()

    def _errors(self, parts: Parts, size: int) -> dict[str, float]:
        """Return the mean squared error of each exit on samples held out, with whole codes, not dropping."""
        totals = dict.fromkeys(self._block.exits, 0.0)
        constants = parts.hard()
        with torch.no_grad():
            for at in batches(len(self._split.held), size):
                index = self._split.held[at]
                feeds = self._quantized.take(self._block.entries, index, self._bridge.device)
                targets = self._floats.take(self._block.exits, index, self._bridge.device)
                outputs = self._bridge.run({**feeds, **constants}, self._block.exits, parts.changes)
                for name, value in outputs.items():
                    totals[name] += float((value - targets[name]).square().mean()) * len(index)
        return {name: total / len(self._split.held) for name, total in totals.items()}


def _dropped(step: StepQuantizer, dropping: Dropping) -> Callable[[Tensor], Tensor]:
    """Return a quantizer that leaves a share of the elements as they are."""
    return lambda x: step(x, dropping.mask(x))
