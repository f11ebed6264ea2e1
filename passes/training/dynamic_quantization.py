"""Bits, steps and weights learned together within budgets: DDQ [arXiv 2106.02295].

Gates take bits away and give them back while the weights are trained; the loss is multiplied by what the
network costs in excess of its budgets. Then the gates are settled within the budgets, and the weights are
trained on at the bits that are left.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from passes.training.adam_state import begin, restore, state_of
from passes.training.checkpoint import Progress, load_checkpoint, save_checkpoint
from passes.training.finetuning import fingerprint
from passes.training.gated import check_choice, gated
from passes.training.gated_optimizer import rated, set_rates
from passes.training.resource import Resource
from passes.training.settling import check_feasible, settle

if TYPE_CHECKING:
    from collections.abc import Sequence

    from passes.api import PassContext
    from passes.ir.model import Model
    from passes.ir.plan import QuantPlan
    from passes.training.course import GateCourse
    from passes.training.lesson import Lesson
    from passes.training.resource import Limit
    from passes.training.settling import Price

SOURCE = "ddq"


class DynamicQuantization:
    """One run over one model.

    Attributes:
        ended: why it stopped early; empty when it did not.
        loss: on the samples held out, of what was learned.
    """

    def __init__(
        self, model: Model, ctx: PassContext, lesson: Lesson, course: GateCourse, limits: Sequence[Limit]
    ) -> None:
        """Start at the plan of a model.

        Args:
            model: its plan has scales, and the most bits that anything may keep.
            ctx: with calibration data.
            lesson: on a simulation of the model, whose quantizers are replaced.
            course: how to learn.
            limits: budgets.

        Raises:
            UsageError: nothing can have fewer bits.
        """
        self._model, self._ctx, self._lesson, self._course = model, ctx, lesson, course
        self._gated = gated(model, ctx, lesson.simulation, free=course.free)
        check_choice(SOURCE, self._gated, ctx.target)
        self._resource = Resource(self._gated.layers, limits, course.power)
        for gates in self._gated.gates.values():
            gates.curvature = lesson.data.size * lesson.data.rows / 2
        self._run = fingerprint(model, course, lesson.data)
        self._optimizer = torch.optim.Adam(self._rated())
        begin(self._optimizer, self._gated.parameters())
        self.ended, self.loss = "", 0.0

    def run(self, price: Price) -> QuantPlan:
        """Train, and return the plan within the budgets; the old one when the loss is not finite any more.

        Args:
            price: tells the cost of the network at given bits and bits of indices, by metric, conversions
                included.

        Raises:
            InfeasibleError: the least bits of everything exceed a budget.
            DataError: the checkpoint is damaged or of another run, or cannot be written.
        """
        course, searched = self._course, round(self._course.search * self._course.steps)
        every = max(course.steps // course.checks, 1)
        check_feasible(self._gated, self._resource.limits, price)
        start = self._resume()
        if start > searched:
            self._gated.settle()
        for step in range(start, course.steps):
            if step == searched:
                settle(self._gated, self._resource.limits, price)
                self._ctx.note(SOURCE, f"step {step}", f"the bits are settled: {self.described()}")
            if not self._learn(step):
                return self._model.plan
            self._ctx.progress(SOURCE, step + 1, course.steps)
            if (step + 1) % every == 0 or step + 1 == course.steps:
                self._check(step + 1)
        if searched >= course.steps:
            settle(self._gated, self._resource.limits, price)
        self.loss = self._lesson.over_held(self._gated.constants())
        return self._gated.written(self._model.plan)

    def _learn(self, step: int) -> bool:
        """Take a step; return whether all is finite."""
        set_rates(self._optimizer, self._course.factor(step))
        self._gated.decide()
        loss, feeds = self._lesson.loss(self._gated.constants(), step)
        if not torch.isfinite(loss):
            where = self._lesson.first_unsound(self._gated.constants(), feeds)
            self.ended = f"the loss is not finite in step {step + 1}: {where}"
            self._ctx.note(SOURCE, "loss", f"{self.ended}; the plan stays as it was; try smaller rates")
            return False
        self._optimizer.zero_grad()
        # The gradient of the product by its factor: Adam would not forget what 10 ** 6 times the loss was.
        torch.autograd.backward([loss + loss.detach() * self._resource.excess()])
        self._optimizer.step()
        self._gated.bound()
        return True

    def _check(self, step: int) -> None:
        self._gated.decide()
        loss = self._lesson.over_held(self._gated.constants())
        self._ctx.note(SOURCE, f"step {step}", f"{self.described()}, loss {loss:.4g} on samples held out")
        if self._course.checkpoint:
            state = state_of(self._optimizer, self._gated.parameters())
            save_checkpoint(Path(self._course.checkpoint), self._run, Progress(step, 0.0, 0.0, 0), state)

    def described(self) -> str:
        """Return the mean bits in words."""
        acts = [step.gates.bits for step in self._gated.steps.values()]
        stored = f"{self._gated.weight_bits():.2f} bits per weight"
        return f"{stored}, {np.mean(acts) if acts else 0:.2f} per activation"

    def _resume(self) -> int:
        """Go on where the checkpoint stands, if there is one; return the steps taken."""
        path = self._course.checkpoint
        state = state_of(self._optimizer, self._gated.parameters())
        found = load_checkpoint(Path(path), self._run, state) if path else None
        if found is None:
            return 0
        progress, tensors = found
        restore(state, tensors)
        self._ctx.note(SOURCE, f"step {progress.step}", f"the run goes on from {path}")
        return progress.step

    def _rated(self) -> list[dict[str, Any]]:
        course = self._course
        gates = [it.free for it in self._gated.gates.values()]
        learned: dict[str, Any] = {"params": gates, "initial": course.gate_rate, "weight": None}
        return rated(self._gated, course.rate, course.step_rate) + ([learned] if gates else [])
