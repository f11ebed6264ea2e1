"""How long, how fast and on what a model is fine-tuned; knows no PyTorch."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

from passes.errors import UsageError


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
    """The fields mean what `passes.transform.finetune.Finetune` says of them."""

    steps: int = 500
    batch: int = 32
    rate: float = 5e-3
    step_rate: float = 5e-3
    bias_rate: float = 2e-4
    schedule: Schedule = Schedule.COSINE
    warm_up: int = 0
    labels: float | None = None
    label_offset: int = 0
    shift: int = 0
    mirror: bool = False
    held: int = 512
    checks: int = 10
    patience: int = 0
    checkpoint: str = ""
    device: str = "cpu"

    def check_numbers(self) -> None:
        """Check what can be told from the options alone.

        Raises:
            UsageError: an option makes no sense; the message names it.
        """
        for key in ("steps", "batch", "checks"):
            self._expect(key, 1)
        for key in ("rate", "step_rate", "bias_rate", "warm_up", "shift", "held", "patience"):
            self._expect(key, 0)
        if self.labels is not None and not 0 <= self.labels <= 1:
            raise UsageError(f"finetune: labels must be a share from 0 to 1, found {self.labels}")
        if self.warm_up > self.steps:
            raise UsageError(f"finetune: warm-up must be at most steps, {self.steps}, found {self.warm_up}")

    def factor(self, step: int) -> float:
        """Return what learning rates are multiplied by in a step, counted from 0."""
        if step < self.warm_up:
            return (step + 1) / self.warm_up
        share = (step - self.warm_up) / max(self.steps - self.warm_up, 1)
        if self.schedule is Schedule.COSINE:
            return 0.5 * (1 + math.cos(math.pi * share))
        return 1 - share if self.schedule is Schedule.LINEAR else 1.0

    @property
    def interval(self) -> int:
        """Steps between two checks."""
        return max(self.steps // self.checks, 1)

    def _expect(self, key: str, least: int) -> None:
        value = getattr(self, key)
        if not least <= value < math.inf:
            raise UsageError(f"finetune: {key.replace('_', '-')} must be at least {least}, found {value}")
