"""Quantization-aware fine-tuning: a whole model under its plan, trained on data with or without labels.

Forwards the model computes what the lowered one will; backwards rounding counts as the identity, and steps
have the gradients of LSQ [arXiv 1902.08153]. The float model on the same samples is the teacher
[arXiv 1503.02531, section 2, at temperature 1].
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from passes.training.adam_state import begin, restore, state_of
from passes.training.checkpoint import Progress, load_checkpoint, save_checkpoint
from passes.training.collect import spreads_of
from passes.training.simulation import WITH_BIAS
from passes.training.tunables import Tunables

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from passes.api import PassContext
    from passes.ir.model import Model
    from passes.ir.plan import QuantPlan
    from passes.training.bridge import Values
    from passes.training.course import Course, TuningCourse
    from passes.training.lesson import Lesson
    from passes.training.training_data import TrainingData

SOURCE = "finetune"


class FineTuning:
    """One run over one model.

    Attributes:
        progress: where it stands.
        ended: why it stopped before its last step; empty when it did not.
    """

    def __init__(self, model: Model, ctx: PassContext, lesson: Lesson, course: TuningCourse) -> None:
        """Start at the plan of a model.

        Args:
            model: its plan has scales.
            ctx: for progress and journal.
            lesson: on a simulation of the model.
            course: how to train.
        """
        self._plan, self._ctx, self._lesson = model.plan, ctx, lesson
        self._course = course
        simulation = lesson.simulation
        layers = [it for it in simulation.setup.layers if it.op in WITH_BIAS and it.weight is not None]
        spreads = spreads_of(simulation, layers, lesson.few)
        self._tunables = Tunables.of(simulation, model.plan, spreads)
        self._run = fingerprint(model, self._course, lesson.data)
        self.progress, self.ended = Progress(0, 0.0, 0.0, 0), ""

    def run(self) -> QuantPlan:
        """Train, and return the best plan met, by the samples held out: the old one when there is no better.

        Raises:
            DataError: the checkpoint is damaged or of another run, or cannot be written; a label is unknown.
        """
        optimizer = torch.optim.Adam(self._rated())
        best = self._resume(optimizer)
        rates = [float(group["lr"]) for group in optimizer.param_groups]
        for step in range(self.progress.step, self._course.steps):
            for group, rate in zip(optimizer.param_groups, rates, strict=True):
                group["lr"] = rate * self._course.factor(step)
            if not self._learn(step, optimizer):
                break
            self._ctx.progress(SOURCE, step + 1, self._course.steps)
            if (step + 1) % self._course.interval == 0 or step + 1 == self._course.steps:
                best = self._check(step + 1, best, optimizer)
                if self.ended:
                    break
        self._restore(best)
        return self._tunables.written(self._plan) if self.progress.best_step else self._plan

    def _learn(self, step: int, optimizer: torch.optim.Optimizer) -> bool:
        """Take a step; return whether all is finite."""
        loss, feeds = self._lesson.loss(self._tunables.constants(), step)
        if not torch.isfinite(loss):
            self._stop(step, feeds)
            return False
        optimizer.zero_grad()
        torch.autograd.backward([loss])
        optimizer.step()
        return True

    def _check(self, step: int, best: Values, optimizer: torch.optim.Optimizer) -> Values:
        """Measure on the samples held out, and return the best parameters so far."""
        loss = self._lesson.over_held(self._tunables.constants())
        if not np.isfinite(loss):
            self._stop(step, self._lesson.few)
            return best
        self.progress = replace(self.progress, step=step)
        if loss < self.progress.best:
            self.progress = replace(self.progress, best=loss, best_step=step)
            best = self._copied()
        self._ctx.note(
            SOURCE, f"step {step}", f"loss {loss:.4g} on {len(self._lesson.data.held)} samples held out"
        )
        if self._course.checkpoint:
            state = state_of(optimizer, self._tunables.parameters())
            tensors = state | {f"best {name}": it for name, it in best.items()}
            save_checkpoint(Path(self._course.checkpoint), self._run, self.progress, tensors)
        waited = (step - self.progress.best_step) // self._course.interval
        if self._course.patience and waited >= self._course.patience and step < self._course.steps:
            self.ended = f"no better for {waited} checks"
        return best

    def _stop(self, step: int, feeds: Values) -> None:
        unsound = [name for name, it in self._tunables.parameters().items() if not torch.isfinite(it).all()]
        where = (
            f"the {unsound[0]} is NaN or infinite"
            if unsound
            else self._lesson.first_unsound(self._tunables.constants(), feeds)
        )
        self.ended = f"the loss is not finite in step {step + 1}: {where}"
        kept = (
            f"the checkpoint after step {self.progress.step}" if self._course.checkpoint else "no checkpoint"
        )
        message = f"{self.ended}; the best plan so far is kept, and {kept}; try smaller rates"
        self._ctx.note(SOURCE, "loss", message)

    def _resume(self, optimizer: torch.optim.Optimizer) -> Values:
        """Go on where the checkpoint stands, if there is one; return the best parameters so far."""
        start = self._copied()
        named = self._tunables.parameters()
        begin(optimizer, named)
        state = state_of(optimizer, named)
        expected = state | {f"best {name}": it for name, it in start.items()}
        path = self._course.checkpoint
        found = load_checkpoint(Path(path), self._run, expected) if path else None
        if found is None:
            before = self._lesson.over_held(self._tunables.constants())
            self.progress = Progress(0, before, before, 0)
            return start
        self.progress, tensors = found
        self._ctx.note(SOURCE, f"step {self.progress.step}", f"the run goes on from {path}")
        restore(state, tensors)
        return {name: tensors[f"best {name}"].to(it.device) for name, it in start.items()}

    def _rated(self) -> list[dict[str, object]]:
        course = self._course
        rates = (course.rate, course.step_rate, course.bias_rate)
        kinds = self._tunables.groups()
        return [
            {"params": list(kind.values()), "lr": rate}
            for kind, rate in zip(kinds, rates, strict=True)
            if kind
        ]

    def _copied(self) -> Values:
        return {name: it.detach().clone() for name, it in self._tunables.parameters().items()}

    def _restore(self, values: Mapping[str, Tensor]) -> None:
        with torch.no_grad():
            for name, parameter in self._tunables.parameters().items():
                parameter.copy_(values[name])
        for step in self._tunables.steps.values():
            step.settle()


def fingerprint(model: Model, course: Course, data: TrainingData) -> str:
    """Return a digest of everything that decides the course of a run."""
    fields = {name: str(value) for name, value in vars(course).items() if name != "checkpoint"}
    plan = json.dumps(model.plan.to_json(model.sha256, ""))
    return hashlib.sha256(f"{json.dumps(fields)}{plan}{data.seed}{data.digest()}".encode()).hexdigest()
