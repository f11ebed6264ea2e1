"""How long, how fast and on what a model is trained, and whether it can be at all; knows no PyTorch."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from importlib.util import find_spec
from typing import TYPE_CHECKING

from passes.errors import PreconditionError, UsageError

if TYPE_CHECKING:
    from passes.api import PassContext
    from passes.ir.model import Model


class Levels(StrEnum):
    """The numbers that a code of a weight may stand for."""

    UNIFORM = "uniform"
    """All multiples of a step."""
    FREE = "free"
    """Any, of a table."""


class Schedule(StrEnum):
    """How learning rates change over the steps."""

    COSINE = "cosine"
    """Down to nothing along half a period of a cosine."""
    LINEAR = "linear"
    """Down to nothing along a line."""
    CONSTANT = "constant"
    """As they are."""


@dataclass(frozen=True)
class Course:
    """What every training needs; the fields mean what `passes.transform.finetune.Finetune` says of them."""

    steps: int = 500
    batch: int = 32
    rate: float = 5e-3
    schedule: Schedule = Schedule.COSINE
    warm_up: int = 0
    labels: float | None = None
    label_offset: int = 0
    shift: int = 0
    mirror: bool = False
    held: int = 512
    device: str = "cpu"

    def check_trainable(self, name: str, model: Model, ctx: PassContext) -> None:
        """Check that a pass can train a model.

        Args:
            name: of the pass.
            model: with a plan.
            ctx: with data.

        Raises:
            PreconditionError: a tensor has no scale.
            UsageError: PyTorch is missing, there are no data, or an option makes no sense.
        """
        if any(quant.params is None for quant in model.plan.tensors.values()):
            raise PreconditionError(f"{name}: run assign-scales first")
        if find_spec("torch") is None:
            raise UsageError(f"{name}: needs PyTorch; install the extra: pip install 'qtool[train]'")
        if ctx.training is None and ctx.calibration is None:
            raise UsageError(f"{name}: needs data to learn from; give --train or --calib")
        try:
            self.check_numbers()
        except UsageError as error:
            raise UsageError(f"{name}: {error}") from error

    def check_numbers(self) -> None:
        """Check what can be told from the options alone.

        Raises:
            UsageError: an option makes no sense; the message names it.
        """
        self._expect(1, "steps", "batch")
        self._expect(0, "rate", "warm_up", "shift", "held")
        if self.labels is not None and not 0 <= self.labels <= 1:
            raise UsageError(f"labels must be a share from 0 to 1, found {self.labels}")
        if self.warm_up > self.steps:
            raise UsageError(f"warm-up must be at most steps, {self.steps}, found {self.warm_up}")

    def factor(self, step: int) -> float:
        """Return what learning rates are multiplied by in a step, counted from 0."""
        if step < self.warm_up:
            return (step + 1) / self.warm_up
        share = (step - self.warm_up) / max(self.steps - self.warm_up, 1)
        if self.schedule is Schedule.COSINE:
            return 0.5 * (1 + math.cos(math.pi * share))
        return 1 - share if self.schedule is Schedule.LINEAR else 1.0

    def _expect(self, least: int, *keys: str) -> None:
        for key in keys:
            value = getattr(self, key)
            if not least <= value < math.inf:
                raise UsageError(f"{key.replace('_', '-')} must be at least {least}, found {value}")


@dataclass(frozen=True)
class TuningCourse(Course):
    """What fine-tuning needs besides."""

    step_rate: float = 5e-3
    bias_rate: float = 2e-4
    checks: int = 10
    patience: int = 0
    checkpoint: str = ""

    @property
    def interval(self) -> int:
        """Steps between two checks."""
        return max(self.steps // self.checks, 1)

    def check_numbers(self) -> None:
        """Check what can be told from the options alone.

        Raises:
            UsageError: an option makes no sense; the message names it.
        """
        super().check_numbers()
        self._expect(1, "checks")
        self._expect(0, "step_rate", "bias_rate", "patience")


@dataclass(frozen=True)
class GateCourse(Course):
    """What learning bits by gates needs besides; the fields mean what `passes.allocation.ddq.Ddq` says."""

    step_rate: float = 5e-3
    gate_rate: float = 0.1
    power: float = 10.0
    search: float = 0.6
    levels: Levels = Levels.UNIFORM
    correction: float = 0.1
    checks: int = 10
    checkpoint: str = ""

    @property
    def free(self) -> float | None:
        """The correction of the gradient of free levels; ``None`` for uniform ones."""
        return self.correction if self.levels is Levels.FREE else None

    def check_numbers(self) -> None:
        """Check what can be told from the options alone.

        Raises:
            UsageError: an option makes no sense; the message names it.
        """
        super().check_numbers()
        self._expect(1, "checks")
        self._expect(0, "step_rate", "gate_rate", "power", "search", "correction")
        if self.search > 1:
            raise UsageError(f"search must be a share from 0 to 1, found {self.search}")


@dataclass(frozen=True)
class ChainCourse(Course):
    """What a walk over precisions needs besides; the fields mean what `passes.allocation.amed.Amed` says."""

    steps: int = 300
    step_rate: float = 5e-3
    alpha: float = 10.0
    beta: float = 1.0
    every: int = 5
    score_rate: float = 0.1
    temperature: float = 0.25
    moving: float = 1.0
    checks: int = 10
    checkpoint: str = ""

    def check_numbers(self) -> None:
        """Check what can be told from the options alone.

        Raises:
            UsageError: an option makes no sense; the message names it.
        """
        super().check_numbers()
        self._expect(1, "every", "checks")
        self._expect(0, "step_rate", "alpha", "beta", "score_rate", "temperature", "moving")
        if not self.temperature or max(self.score_rate, self.moving) > 1:
            raise UsageError("temperature must be above 0, score-rate and moving shares from 0 to 1")


@dataclass(frozen=True)
class LowBitCourse(Course):
    """What driving out low bits needs besides; the fields mean what `passes.allocation.msq.Msq` says."""

    steps: int = 300
    step_rate: float = 5e-3
    strength: float = 1.0
    rounds: int = 10
    search: float = 0.6
    checkpoint: str = ""

    @property
    def interval(self) -> int:
        """Steps from one round to the next."""
        return max(int(self.search * self.steps / self.rounds), 1)

    def check_numbers(self) -> None:
        """Check what can be told from the options alone.

        Raises:
            UsageError: an option makes no sense; the message names it.
        """
        super().check_numbers()
        self._expect(1, "rounds")
        self._expect(0, "step_rate", "strength", "search")
        if self.search > 1:
            raise UsageError(f"search must be a share from 0 to 1, found {self.search}")
        if self.rounds > self.steps:
            raise UsageError(f"rounds must be at most steps, {self.steps}, found {self.rounds}")
