"""Bit-level sparsity: a model learns how many bits its layers need [BSQ, arXiv 2102.10462].

The loss is that of fine-tuning; beside it every plane of bits pays for its size, more in layers with many
weights of many bits, and less where the loss holds them. The paper adds the norms to the loss; here they are
taken off in a step of their own after each of Adam's, which would scale them by its own measure.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from passes.errors import DataError, UsageError
from passes.ir.plan import LayerBits
from passes.ir.weights import quantized_weight
from passes.training.bit_planes import BitPlanes
from passes.training.checkpoint import Progress, load_checkpoint, save_checkpoint
from passes.training.finetuning import fingerprint
from passes.training.plane_budgets import Budgets
from passes.training.planed_layer import PlanedLayer
from passes.training.rounding import NEAR, START

if TYPE_CHECKING:
    from collections.abc import Sequence

    from passes.api import PassContext
    from passes.ir.layers import Layer
    from passes.ir.model import Model
    from passes.ir.plan import QuantPlan
    from passes.training.bridge import Values
    from passes.training.lesson import Lesson
    from passes.training.resource import Limit
    from passes.training.settling import Price

SOURCE = "bsq"
TINY = 1e-30
"""Keeps divisors above 0."""


@dataclass(frozen=True, slots=True)
class Sparsity:
    """How planes are driven out.

    Attributes:
        strength: what a plane of an average layer loses of its norm over a whole run, if nothing holds it: 1
            takes a plane of ones.
        rounds: re-quantizations.
        tolerance: norm, 0 to 1, at which a plane counts as gone.
        max_rise: of the loss on the samples held out over that of the start; a re-quantization that ends
            above it is undone and ends the run. Not where there are budgets, which have to be met.
        checkpoint: file that is written at every re-quantization, and gone on from; empty for none.
        limits: budgets; planes are dropped until the last of them are met at the end, and others in equal
            ratios before.
    """

    strength: float
    rounds: int
    tolerance: float
    max_rise: float
    checkpoint: str
    limits: Sequence[Limit] = ()


class BitSparsity:
    """One run over one model.

    Attributes:
        ended: why it stopped early; empty when it did not.
        bits: per weight, signs included, in the plan that is kept.
    """

    def __init__(self, model: Model, ctx: PassContext, lesson: Lesson, sparsity: Sparsity) -> None:
        """Start at the codes of the plan.

        Raises:
            UsageError: a weight has scales of groups.
        """
        self._model, self._ctx, self._lesson, self._sparsity = model, ctx, lesson, sparsity
        self._weights: dict[str, BitPlanes] = {}
        self._layers: list[PlanedLayer] = []
        setup = lesson.simulation.setup
        for layer in setup.layers:
            own = {part.weight_name: it for part in layer.parts if (it := self._planes(part)) is not None}
            if own:
                self._layers.append(PlanedLayer.of(layer, own, model, ctx, setup))
        if not self._weights:
            raise UsageError("bsq: no layer has a constant weight to learn the bits of")
        self.ended, self.bits, self._kept = "", self._mean_bits(), model.plan
        self._most = 0.0

    def run(self, price: Price) -> QuantPlan:
        """Train, dropping planes on the way, and return the plan with the bits that are left.

        Args:
            price: tells the cost of the network at given bits, by metric, conversions included.

        Raises:
            InfeasibleError: the least bits of all weights exceed a budget.
            DataError: the checkpoint is damaged or of another run, or cannot be written.
        """
        course = self._lesson.data.course
        every = max(course.steps // self._sparsity.rounds, 1)
        budgets = self._budgets(price)
        rise = float("inf") if self._sparsity.limits else self._sparsity.max_rise
        self._most = self._lesson.over_held(self._constants()) + rise
        start = self._resume()
        optimizer = self._optimizer()
        for step in range(start, course.steps):
            for group in optimizer.param_groups:
                group["lr"] = group["initial"] * course.factor(step)
            if not self._learn(step, optimizer):
                break
            self._ctx.progress(SOURCE, step + 1, course.steps)
            if (step + 1) % every == 0 and step + 1 < course.steps:
                if not self._requantize(step + 1, budgets):
                    return self._kept
                self._save(step + 1)
                # The shapes of the parameters have changed.
                optimizer = self._optimizer()
        self._requantize(course.steps, budgets)
        return self._kept

    def _budgets(self, price: Price) -> Budgets | None:
        """Return what has to be met on the way; ``None`` without budgets."""
        if not self._sparsity.limits:
            return None
        fixed = {name: it.precision for name, it in self._model.plan.layers.items()}
        return Budgets(self._layers, self._sparsity.limits, lambda bits: price({**fixed, **bits}, {}))

    def _planes(self, part: Layer) -> BitPlanes | None:
        """Return the planes of a weight, which parts may share; ``None`` where it has points or a table."""
        name, quant = part.weight_name, self._model.plan.tensors[part.weight_name]
        if quant.points is quant.levels is None and name not in self._weights:
            codes = quantized_weight(part, quant).astype(np.float64)
            scale = quant.spec.granularity.expand(quant.params.scale, codes.shape)  # type: ignore[union-attr]
            off = np.clip(part.weight_values() / scale - codes, -NEAR, NEAR)
            self._weights[name] = BitPlanes(quant, codes + START * off, self._lesson.simulation.bridge.device)
        return self._weights.get(name)

    def _learn(self, step: int, optimizer: torch.optim.Optimizer) -> bool:
        loss, feeds = self._lesson.loss(self._constants(), step)
        if not torch.isfinite(loss):
            where = self._lesson.first_unsound(self._constants(), feeds)
            self.ended = f"the loss is not finite in step {step + 1}: {where}"
            self._ctx.note(SOURCE, "loss", f"{self.ended}; the bits so far are kept")
            return False
        optimizer.zero_grad()
        torch.autograd.backward([loss])
        for planes in self._weights.values():
            planes.observe()
        optimizer.step()
        for weight, amount in self._amounts():
            weight.shrink(amount)
        return True

    def _amounts(self) -> list[tuple[BitPlanes, float]]:
        """Return what the planes of each weight lose in a step, by its bits over how the loss holds them.

        The paper's penalty grows with the bits of a layer, and a gradient of the loss stands against it. Adam
        divides that by the root of its mean square, so the penalty is divided by it as well.
        """
        alive = [weight for weight in self._weights.values() if weight.planes]
        pulls = [weight.count * weight.planes / max(weight.hold(), TINY) for weight in alive]
        base = self._sparsity.strength / self._lesson.data.course.steps / max(sum(pulls), TINY) * len(alive)
        return [(weight, base * pull) for weight, pull in zip(alive, pulls, strict=True)]

    def _optimizer(self) -> torch.optim.Optimizer:
        rate = self._lesson.data.course.rate
        planes = [it for weight in self._weights.values() for it in (weight.positive, weight.negative)]
        return torch.optim.Adam([{"params": planes, "lr": rate, "initial": rate}])

    def _requantize(self, step: int, budgets: Budgets | None) -> bool:
        """Drop planes, and return whether the loss allows it; if so the plan is kept."""
        if budgets:
            budgets.meet(step / self._lesson.data.course.steps)
        else:
            for weight in self._weights.values():
                weight.requantize(self._sparsity.tolerance)
        loss = self._lesson.over_held(self._constants())
        message = f"{self._mean_bits():.2f} bits per weight, loss {loss:.4g} on samples held out"
        self._ctx.note(SOURCE, f"step {step}", message)
        if not loss <= self._most:
            self.ended = self.ended or f"the loss went above {self._most:.4g} after step {step}"
            return False
        self.bits, self._kept = self._mean_bits(), self._written()
        for weight in self._weights.values():
            weight.forget()
        return True

    def _save(self, step: int) -> None:
        """Write where the run stands: whole codes, before an optimizer that remembers nothing."""
        if self._sparsity.checkpoint:
            path = Path(self._sparsity.checkpoint)
            save_checkpoint(path, self._fingerprint(), Progress(step, 0.0, 0.0, 0), self._state())

    def _resume(self) -> int:
        """Go on where the checkpoint stands, if there is one; return the steps taken."""
        path, state = Path(self._sparsity.checkpoint), self._state()
        found = load_checkpoint(path, self._fingerprint(), state) if self._sparsity.checkpoint else None
        if found is None:
            return 0
        progress, tensors = found
        for name, weight in self._weights.items():
            try:
                weight.restore({key: tensors[f"{key} of {name}"] for key in weight.state()})
            except DataError as error:
                raise DataError(f"{path}: weight {name!r}: {error}; delete it to begin anew") from error
        self.bits, self._kept = self._mean_bits(), self._written()
        self._ctx.note(SOURCE, f"step {progress.step}", f"the run goes on from {path}")
        return progress.step

    def _state(self) -> Values:
        weights = self._weights.items()
        return {f"{key} of {name}": it for name, weight in weights for key, it in weight.state().items()}

    def _fingerprint(self) -> str:
        return fingerprint(self._model, self._lesson.data.course, self._lesson.data)

    def _mean_bits(self) -> float:
        total = sum(weight.count for weight in self._weights.values())
        return sum(weight.count * weight.bits for weight in self._weights.values()) / total

    def _constants(self) -> Values:
        learned = {name: weight.value() for name, weight in self._weights.items()}
        return self._lesson.simulation.constants | learned

    def _written(self) -> QuantPlan:
        """Return the plan with the codes that are left, at bits that the machine runs."""
        plan = self._model.plan
        layers, tensors = dict(plan.layers), dict(plan.tensors)
        for layer in self._layers:
            layers[layer.name] = LayerBits(layer.op, layer.precision)
            bits = layer.precision.weight_bits
            tensors |= {name: it.decision(bits) for name, it in layer.weights.items()}
        return replace(plan, layers=layers, tensors=tensors)
