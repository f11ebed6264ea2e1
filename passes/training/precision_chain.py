"""A Markov chain over precisions while a model is trained: AMED [arXiv 2205.15437].

Every few steps the harm ``zeta = alpha * loss + beta * cost / cost at the start`` of the bits in use is
measured, their scores are moved towards ``log10(zeta at the start / zeta)``, and every quantizer proposes a
width by the softmax of its scores and takes it with the ratio of the two probabilities.
"""

from __future__ import annotations

from math import fsum
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from passes.training.adam_state import begin, restore, state_of
from passes.training.checkpoint import Progress, load_checkpoint, save_checkpoint
from passes.training.finetuning import fingerprint
from passes.training.gated import check_choice, gated
from passes.training.gated_optimizer import rated, set_rates

if TYPE_CHECKING:
    from passes.api import PassContext
    from passes.ir.model import Model
    from passes.ir.plan import QuantPlan
    from passes.training.bridge import Values
    from passes.training.course import ChainCourse
    from passes.training.gates import Gates
    from passes.training.lesson import Lesson

SOURCE = "amed"
LEAST = 1e-6
"""Below this nothing is harmful; keeps the logarithm finite."""


class PrecisionChain:
    """One run over one model.

    Attributes:
        ended: why it stopped early; empty when it did not.
        loss, share: of the plan that is kept: loss on the samples held out, and cost over that of the start.
        best_step: when it was met.
    """

    def __init__(
        self, model: Model, ctx: PassContext, lesson: Lesson, course: ChainCourse, metric: str
    ) -> None:
        """Start at the plan of a model.

        Args:
            model: its plan has scales, and the most bits that anything may take.
            ctx: with calibration data.
            lesson: on a simulation of the model, whose quantizers are replaced.
            course: how to learn.
            metric: name of the cost, a sum over layers.

        Raises:
            UsageError: nothing can have fewer bits.
        """
        self._model, self._ctx, self._lesson, self._course = model, ctx, lesson, course
        self._gated, self._metric = gated(model, ctx, lesson.simulation), metric
        check_choice(SOURCE, self._gated, ctx.target)
        self._gated.settle()
        self._gates: list[Gates] = list(self._gated.gates.values())
        rng = np.random.default_rng([ctx.seed, 4])
        self._scores = [torch.from_numpy(rng.random(len(it.widths))) for it in self._gates]
        self._start = max(self._cost(), LEAST**4)
        self._optimizer = torch.optim.Adam(rated(self._gated, course.rate, course.step_rate))
        begin(self._optimizer, self._gated.parameters())
        self.loss, self.share, self.best_step, self.ended = self._held(), 1.0, 0, ""
        self._reference = self._harm(self.loss, 1.0)
        self._best = self._copied()

    def run(self) -> QuantPlan:
        """Train, and return the least harmful plan met, by the samples held out; the first one among them.

        Raises:
            DataError: the checkpoint is damaged or of another run, or cannot be written.
        """
        course = self._course
        every = max(course.steps // course.checks, course.every)
        for step in range(self._resume(), course.steps):
            if not self._learn(step):
                break
            self._ctx.progress(SOURCE, step + 1, course.steps)
            if (step + 1) % course.every == 0 or step + 1 == course.steps:
                self._judge(step + 1)
                self._walk(step + 1)
            if (step + 1) % every == 0 and course.checkpoint:
                progress = Progress(step + 1, self.share, self.loss, self.best_step)
                save_checkpoint(Path(course.checkpoint), self._fingerprint(), progress, self._state())
        restore(self._present(), self._best)
        self._take_places(self._best["places"])
        return self._gated.written(self._model.plan) if self.best_step else self._model.plan

    def _learn(self, step: int) -> bool:
        """Take a step; return whether all is finite."""
        set_rates(self._optimizer, self._course.factor(step))
        loss, feeds = self._lesson.loss(self._gated.constants(), step)
        if not torch.isfinite(loss):
            where = self._lesson.first_unsound(self._gated.constants(), feeds)
            self.ended = f"the loss is not finite in step {step + 1}: {where}"
            self._ctx.note(SOURCE, "loss", f"{self.ended}; the best plan so far is kept; try smaller rates")
            return False
        self._optimizer.zero_grad()
        torch.autograd.backward([loss])
        self._optimizer.step()
        return True

    def _judge(self, step: int) -> None:
        """Measure the bits in use, move their scores, and keep the plan when none was less harmful."""
        loss, share = self._held(), self._cost() / self._start
        harm = self._harm(loss, share)
        found = float(np.log10(self._reference / harm))
        for gates, scores in zip(self._gates, self._scores, strict=True):
            scores[gates.place] += self._course.score_rate * (found - scores[gates.place])
        self._ctx.note(SOURCE, f"step {step}", f"cost {share:.3f}x, loss {loss:.4g} on samples held out")
        if harm < self._harm(self.loss, self.share):
            self.loss, self.share, self.best_step, self._best = loss, share, step, self._copied()

    def _walk(self, step: int) -> None:
        """Let quantizers propose a width each, and take or refuse it."""
        rng = np.random.default_rng([self._ctx.seed, 5, step])
        chosen = np.random.default_rng([self._ctx.seed, 6, step]).random(len(self._gates))
        for gates, scores, place in zip(self._gates, self._scores, chosen, strict=True):
            if place >= self._course.moving:
                continue
            chance = torch.softmax(scores / self._course.temperature, 0).numpy()
            proposed = int(rng.choice(len(chance), p=chance))
            if rng.random() <= chance[proposed] / chance[gates.place]:
                gates.place = proposed

    def _harm(self, loss: float, share: float) -> float:
        return max(self._course.alpha * max(loss, 0.0) + self._course.beta * share, LEAST)

    def _cost(self) -> float:
        return fsum(layer.price(self._metric) for layer in self._gated.layers)

    def _held(self) -> float:
        loss = self._lesson.over_held(self._gated.constants())
        return loss if np.isfinite(loss) else float("inf")

    def _places(self) -> torch.Tensor:
        return torch.tensor([gates.place for gates in self._gates])

    def _take_places(self, places: torch.Tensor) -> None:
        for gates, place in zip(self._gates, places.tolist(), strict=True):
            gates.place = min(max(place, 0), len(gates.widths) - 1)

    def _present(self) -> Values:
        return self._gated.parameters()

    def _copied(self) -> Values:
        found = {name: it.detach().clone() for name, it in self._present().items()}
        return found | {"places": self._places()}

    def _state(self) -> Values:
        state = state_of(self._optimizer, self._present()) | {"places": self._places()}
        state |= {f"scores {at}": scores for at, scores in enumerate(self._scores)}
        return state | {f"best {name}": it for name, it in self._best.items()}

    def _resume(self) -> int:
        """Go on where the checkpoint stands, if there is one; return the steps taken."""
        path, state = self._course.checkpoint, self._state()
        found = load_checkpoint(Path(path), self._fingerprint(), state) if path else None
        if found is None:
            return 0
        progress, tensors = found
        restore(state, tensors)
        self._take_places(tensors["places"])
        self.share, self.loss, self.best_step = progress.before, progress.best, progress.best_step
        self._ctx.note(SOURCE, f"step {progress.step}", f"the run goes on from {path}")
        return progress.step

    def _fingerprint(self) -> str:
        return fingerprint(self._model, self._course, self._lesson.data)
