"""Learns all rounding, biases and steps of a model together, from the results of the float network.

The teacher is the float model on the same samples [Hinton et al. 2015, arXiv 1503.02531, section 2, at
temperature 1]: nothing but calibration data is needed, and of these no labels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from passes.training.agreement import Agreement
from passes.training.blocks import whole_block
from passes.training.collect import collected, spreads_of, written
from passes.training.latent import LatentRounding
from passes.training.samples import Samples, Split, advance, batches, mirrored

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor

    from passes.api import PassContext
    from passes.ir.model import Model
    from passes.ir.plan import QuantPlan, TensorQuant
    from passes.training.parts import Parts
    from passes.training.simulation import Simulation

SOURCE = "distill"
BETAS = (0.9, 0.99)
"""Of Adam: its memory of squared gradients is shorter than usual, as there are few steps."""


@dataclass(frozen=True, slots=True)
class Course:
    """How long and how fast, as `passes.transform.distill.Distill` says of its fields of the same names."""

    iterations: int
    batch: int
    rate: float
    step_rate: float
    bias_rate: float
    checks: int
    held: int


class Distillation:
    """One run over one model.

    Attributes:
        before: mean loss on the samples held out, with the plan as it was.
        after: the same with the plan that is kept.
    """

    def __init__(
        self, model: Model, ctx: PassContext, simulation: Simulation, samples: Samples, mirror: bool
    ) -> None:
        """Compute what the float network makes of the samples.

        Raises:
            ModelError: its results are NaN or infinite.
        """
        self._plan, self._ctx, self._simulation = model.plan, ctx, simulation
        self._copies = 2 if mirror else 1
        samples = mirrored(samples) if mirror else samples
        self._block = whole_block(model.graph, simulation.setup.layers)
        bridge = simulation.bridge
        size = 8 if samples.batched else 1
        self._targets = Samples(advance(bridge, samples, self._block, size, {}, {}), samples.batched)
        few = samples.take(self._block.entries, torch.arange(min(samples.units, size)), bridge.device)
        self._spreads = spreads_of(simulation, self._block.layers, few)
        self._inputs = samples
        self._agreement = Agreement.of(self._targets.values)
        self._rng = ctx.rng(SOURCE)
        self.before = self.after = 0.0

    def run(self, course: Course, max_bits: int) -> QuantPlan:
        """Learn, and return the best plan met, by the samples held out: the old one when there is no better.

        Args:
            course: how to learn.
            max_bits: weights of more bits keep the rounding they have.
        """
        simulation, plan, block = self._simulation, self._plan, self._block

        def keeps(_: str, quant: TensorQuant) -> bool:
            return quant.spec.format.bits > max_bits

        parts = collected(simulation, plan, block, self._spreads, LatentRounding, keeps)
        split = Split.of(self._inputs.units, self._rng, course.held, self._copies)
        self.before = self.after = self._over(parts, split.held)
        parts.begin()
        for _ in self._steps(parts, course, split.learned):
            loss = self._over(parts, split.held)
            if loss < self.after:
                self.after = loss
                parts.remember()
        parts.settle()
        parts.restore()
        simulation.constants.update(parts.hard())
        return written(simulation, plan, block, parts) if self.after < self.before else plan

    def _steps(self, parts: Parts, course: Course, learned: Tensor) -> Iterator[int]:
        """Take all steps, and yield now and then for a check; end where a loss is not finite."""
        optimizer = torch.optim.Adam(
            parts.rated(course.rate, course.step_rate, course.bias_rate), betas=BETAS
        )
        rates = [float(group["lr"]) for group in optimizer.param_groups]
        every = max(course.iterations // course.checks, 1)
        for done, index in enumerate(self._drawn(learned, course), 1):
            for group, rate in zip(optimizer.param_groups, rates, strict=True):
                group["lr"] = rate * 0.5 * (1 + math.cos(math.pi * (done - 1) / course.iterations))
            loss = self._loss(parts, index)
            if not torch.isfinite(loss):
                self._ctx.note(
                    SOURCE, "loss", f"it is not finite in step {done}; the best plan so far is kept"
                )
                return
            optimizer.zero_grad()
            torch.autograd.backward([loss])
            optimizer.step()
            if done % every == 0:
                self._ctx.progress(SOURCE, done, course.iterations)
                yield done

    def _drawn(self, learned: Tensor, course: Course) -> Iterator[Tensor]:
        """Yield the samples of every step: all of them in random order, then in another one."""
        size = course.batch if self._inputs.batched else 1
        queue = learned[:0]
        for _ in range(course.iterations):
            while len(queue) < size:
                again = torch.from_numpy(self._rng.permutation(len(learned)))
                queue = torch.cat([queue, learned[again]])
            yield queue[:size]
            queue = queue[size:]

    def _loss(self, parts: Parts, index: Tensor) -> Tensor:
        bridge, block = self._simulation.bridge, self._block
        feeds = self._inputs.take(block.entries, index, bridge.device)
        feeds |= {name: parts.changes[name](feeds[name]) for name in feeds.keys() & parts.changes.keys()}
        found = bridge.run({**feeds, **parts.soft()}, block.exits, parts.changes)
        return self._agreement.loss(found, self._targets.take(block.exits, index, bridge.device))

    def _over(self, parts: Parts, samples: Tensor) -> float:
        """Return the mean loss over some samples."""
        total = 0.0
        with torch.no_grad():
            for at in batches(len(samples), 8 if self._inputs.batched else 1):
                total += float(self._loss(parts, samples[at])) * len(at)
        return total / len(samples)
