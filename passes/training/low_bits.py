"""Bits that low-bit sparsity frees: MSQ [arXiv 2507.22349], on ordinary weights rather than planes of bits.

Beside the loss every weight pays for its distance from the levels of one bit less. Now and then bits are
dropped where that costs the loss least, by the squares of its gradients, until the budgets are met. A weight
has a float value at every width, so that bits may come back from one round to the next.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch

from passes.errors import UsageError
from passes.training.adam_state import begin, restore, state_of
from passes.training.checkpoint import Progress, load_checkpoint, save_checkpoint
from passes.training.finetuning import fingerprint
from passes.training.gated import gated
from passes.training.gated_optimizer import rated, set_rates
from passes.training.settling import check_feasible, settle

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from passes.api import PassContext
    from passes.ir.model import Model
    from passes.ir.plan import QuantPlan
    from passes.training.course import LowBitCourse
    from passes.training.gated_weight import GatedWeight
    from passes.training.gates import Gates
    from passes.training.lesson import Lesson
    from passes.training.resource import Limit
    from passes.training.settling import Price

SOURCE = "msq"
TINY = 1e-30
"""Keeps scores above 0, where gates are open."""


class LowBits:
    """One run over one model.

    Attributes:
        ended: why it stopped early; empty when it did not.
        loss: on the samples held out, of what was learned.
    """

    def __init__(
        self, model: Model, ctx: PassContext, lesson: Lesson, course: LowBitCourse, limits: Sequence[Limit]
    ) -> None:
        """Start at the plan of a model.

        Args:
            model: its plan has scales, and the most bits that weights may keep.
            ctx: with calibration data.
            lesson: on a simulation of the model.
            course: how to learn.
            limits: budgets.

        Raises:
            UsageError: no weight can have fewer bits.
        """
        self._model, self._ctx, self._lesson, self._course = model, ctx, lesson, course
        self._gated, self._limits = gated(model, ctx, lesson.simulation, acts=False), limits
        if not self._gated.weights:
            raise UsageError(
                "msq: no weight can have fewer bits than in the plan; begin with more, as in uniform=w8a8"
            )
        self._gated.settle()
        self._run = fingerprint(model, course, lesson.data)
        self._optimizer = torch.optim.Adam(rated(self._gated, course.rate, course.step_rate))
        begin(self._optimizer, self._gated.parameters())
        self._squares = {name: torch.zeros_like(it.latent) for name, it in self._gated.weights.items()}
        self.ended, self.loss = "", 0.0

    def run(self, price: Price) -> QuantPlan:
        """Train, and return the plan within the budgets; the old one when the loss is not finite any more.

        Args:
            price: tells the cost of the network at given bits and bits of indices, by metric, conversions
                included.

        Raises:
            InfeasibleError: the least bits of all weights exceed a budget.
            DataError: the checkpoint is damaged or of another run, or cannot be written.
        """
        course, first = self._course, price(self._gated.bits(), self._gated.tables())
        check_feasible(self._gated, self._limits, price)
        start = self._resume()
        for step in range(start, course.steps):
            turn, within = divmod(step + 1, course.interval)
            if not self._learn(step, pull=turn < course.rounds):
                return self._model.plan
            self._ctx.progress(SOURCE, step + 1, course.steps)
            if not within and turn <= course.rounds:
                share = turn / course.rounds
                self._drop([it.eased(first[it.metric], share) for it in self._limits], price)
            if not within or step + 1 == course.steps:
                self._check(step + 1)
        return self._gated.written(self._model.plan)

    def _learn(self, step: int, *, pull: bool) -> bool:
        """Take a step; return whether all is finite."""
        set_rates(self._optimizer, self._course.factor(step))
        loss, feeds = self._lesson.loss(self._gated.constants(), step)
        if not torch.isfinite(loss):
            where = self._lesson.first_unsound(self._gated.constants(), feeds)
            self.ended = f"the loss is not finite in step {step + 1}: {where}"
            self._ctx.note(SOURCE, "loss", f"{self.ended}; the plan stays as it was; try smaller rates")
            return False
        self._optimizer.zero_grad()
        torch.autograd.backward([loss])
        for name, weight in self._gated.weights.items():
            self._squares[name] += torch.square(_gradient(weight))
        if pull:
            self._pull()
        self._optimizer.step()
        return True

    def _pull(self) -> None:
        """Add the gradient of the distances from the levels of one bit less, in steps of the bits in use."""
        weights = list(self._gated.weights.values())
        sums = [torch.square(_gradient(it) * it.coarseness).sum() for it in weights]
        total = torch.stack(sums).sum() / sum(it.count for it in weights)
        amount = self._course.strength * float(total.sqrt())
        for weight in weights:
            if weight.gates.place:
                signs = torch.sign(weight.error(weight.gates.place - 1))
                weight.latent.grad = _gradient(weight) - amount / weight.coarseness * signs

    def _drop(self, limits: Sequence[Limit], price: Price) -> None:
        """Choose the bits anew, by what each costs the loss for what it costs the machine."""
        for gates in self._gated.gates.values():
            costs, harms = self._costs(gates), self._harms(gates)
            for place in range(len(gates.free)):
                saved = max(costs[place + 1] - costs[place], TINY)
                gates.free[place] = max((harms[place] - harms[place + 1]) / saved, TINY)
        settle(self._gated, limits, price)
        for squares in self._squares.values():
            squares.zero_()

    def _harms(self, gates: Gates) -> list[float]:
        """Return what the loss gains from rounding at each width: errors by the mean squares of gradients."""
        found = [0.0] * len(gates.widths)
        for name, weight in self._gated.weights.items():
            if weight.gates is gates:
                for place in range(len(found)):
                    error = torch.square(weight.error(place))
                    found[place] += float((self._squares[name] * error).sum())
        return found

    def _costs(self, gates: Gates) -> list[float]:
        """Return what the layers of some gates cost at each width, in shares of the budgets."""
        layers = [layer for layer in self._gated.layers if layer.weight is gates]
        return [
            sum(
                float(layer.prices[limit.metric][place, layer.act.place]) / limit.most
                for layer in layers
                for limit in self._limits
            )
            for place in range(len(gates.widths))
        ]

    def _check(self, step: int) -> None:
        self.loss = self._lesson.over_held(self._gated.constants())
        message = f"{self.described()}, loss {self.loss:.4g} on samples held out"
        self._ctx.note(SOURCE, f"step {step}", message)
        if self._course.checkpoint:
            state = state_of(self._optimizer, self._gated.parameters())
            save_checkpoint(Path(self._course.checkpoint), self._run, Progress(step, 0.0, 0.0, 0), state)

    def described(self) -> str:
        """Return the mean bits in words."""
        return f"{self._gated.weight_bits():.2f} bits per weight"

    def _resume(self) -> int:
        """Go on where the checkpoint stands, if there is one; return the steps taken."""
        path = self._course.checkpoint
        state = state_of(self._optimizer, self._gated.parameters())
        found = load_checkpoint(Path(path), self._run, state) if path else None
        if found is None:
            return 0
        progress, tensors = found
        restore(state, tensors)
        self._gated.settle()
        self._ctx.note(SOURCE, f"step {progress.step}", f"the run goes on from {path}")
        return progress.step


def _gradient(weight: GatedWeight) -> Tensor:
    found = weight.latent.grad
    return torch.zeros_like(weight.latent) if found is None else found
