"""Bits learned together with the weights [BSQ, arXiv 2102.10462]. Needs the extra ``train``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from passes.allocation.learned_budgets import BUDGETS, LearnedBudgets, pricing
from passes.api import Aspect, Pass, PassContext, PassResult
from passes.errors import UsageError
from passes.training.course import Course

if TYPE_CHECKING:
    from passes.ir.model import Model


@dataclass(frozen=True)
class Bsq(LearnedBudgets, Course, Pass):
    """Learn how many bits the weights of each layer need, from a plan with more; activations keep theirs.

    Every bit of every weight is a variable; planes of bits that the loss does not need shrink and are
    dropped: those that have nearly gone, or under budgets those that the loss needs least for what they cost.
    The result has whole codes and keeps no promise about accuracy: put finetune behind it, which trains the
    weights with these bits, after a short run assign-scales and gptq before that, which keep the bits. A code
    has a bit more than planes, for its sign, and 2 at least.

    Attributes:
        steps: steps of Adam.
        batch: samples per step.
        rate: learning rate of the bits, in steps of the codes.
        schedule: of the rate: cosine or linear, down to nothing, or constant.
        warm_up: steps over which rates rise from nothing first.
        labels: weight of the labels in the loss, as for finetune.
        label_offset: added to labels, 1 for models with a background class.
        shift: pixels by which pictures are moved at random at most.
        mirror: swap left and right in half of the pictures.
        held: samples held out at most, at most an eighth of all, to measure the loss on.
        device: ``cpu``, ``cuda`` or ``auto``, which takes a GPU when there is one.
        strength: how hard planes are pushed out: what one of an average layer loses of its bits over the run.
        rounds: re-quantizations, at each of which planes are dropped.
        tolerance: without budgets, root of the mean square of the bits of a plane at which it is dropped from
            the low end.
        max_rise: without budgets, a re-quantization after which the loss on the samples held out is by more
            than this above that of the start is undone and ends the run.
        checkpoint: file that is written at every re-quantization, and that a run goes on from; empty for
            none.
        max_latency: budget with a unit (``12ms``) or relative to uniform 8 bits (``0.5x``), approached
            in equal ratios and met at the end; empty for none.
        max_energy: likewise, in joules.
        max_size: likewise, bytes of weights.
        max_bops: likewise, bit operations.
    """

    name: ClassVar[str] = "bsq"
    steps: int = 200
    rate: float = 0.01
    strength: float = 1.5
    rounds: int = 16
    tolerance: float = 0.3
    max_rise: float = 0.1
    checkpoint: str = ""

    def check(self, model: Model, ctx: PassContext) -> None:
        """Scales must have been assigned, there must be data, and options must make sense.

        Raises:
            PreconditionError: a tensor has no scale.
            UsageError: PyTorch is missing, there are no data, or an option makes no sense.
        """
        self.check_trainable(self.name, model, ctx)
        if self.rounds < 1 or not 0 <= self.strength < float("inf") or not 0 <= self.tolerance < 1:
            raise UsageError(
                "bsq: rounds must be at least 1, strength at least 0, tolerance in 0..1 without 1"
            )

    def run(self, model: Model, ctx: PassContext) -> PassResult:
        """Train.

        Raises:
            ModelError: nodes that the bridge cannot run; the message names them.
            UsageError: labels are asked for and missing, weights have scales of groups, or a budget is on a
                metric that the target lacks.
            InfeasibleError: the least bits of everything exceed a budget.
            DataError: the data or the checkpoint cannot be used.
        """
        from passes.training.bit_sparsity import BitSparsity, Sparsity
        from passes.training.lesson import Lesson
        from passes.training.simulation import Simulation
        from passes.training.threads import threads
        from passes.training.training_data import TrainingData

        with threads(ctx.workers):
            budgeted = any(getattr(self, name) for name in BUDGETS)
            limits = self.limits(model, ctx) if budgeted else ()
            sparsity = Sparsity(
                self.strength, self.rounds, self.tolerance, self.max_rise, self.checkpoint, limits
            )
            data = TrainingData.of(ctx.training or ctx.calibration, self, ctx.seed)
            lesson = Lesson(Simulation.of(model, ctx.target, self.device), data)
            work = BitSparsity(model, ctx, lesson, sparsity)
            plan = work.run(pricing(model, ctx))
        wrote = Aspect.PLAN if plan != model.plan else Aspect.NONE
        model.plan = plan
        facts = {"bits": work.bits}
        ended = f"; stopped: {work.ended}" if work.ended else ""
        return PassResult(wrote, f"{work.bits:.2f} bits per weight{ended}", facts)
