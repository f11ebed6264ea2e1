"""`Evaluation` and `Point`: what measuring a plan gave, and what it costs."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import inf, isfinite, nan
from typing import TYPE_CHECKING

from passes.execution.metrics import drop_between

if TYPE_CHECKING:
    from collections.abc import Mapping

MEASURED, MEASURED_WORD = "measured_latency_s", "measured-latency"
"""The one objective besides the loss that is measured: seconds for a sample on the machine that searches."""
Choices = tuple[int, ...]
"""A plan as the index of the choice that each layer of a problem takes."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What measuring one plan gave.

    Attributes:
        value: of the metric, larger is better; NaN where it could not be measured.
        samples: that it was measured on; fewer than all where the plan was given up early.
        failure: why there is no value; empty where there is one.
        seconds: that ONNX Runtime took for a sample, as deployed, which is not compared; NaN where unknown.
    """

    value: float
    samples: int
    failure: str = ""
    seconds: float = field(default=nan, compare=False)

    @classmethod
    def failed(cls, why: str) -> Evaluation:
        """Return the mark of a plan that cannot be measured."""
        return cls(nan, 0, why[:500])


@dataclass(frozen=True, slots=True)
class Point:
    """A plan that was measured.

    Attributes:
        choices: the plan.
        evaluation: how it was measured.
        loss: metric of the float model less the plan's; infinite where the plan could not be measured.
        costs: by metric, in the unit that its name says.
        estimate: the loss that the additive problem expects.
        excess: by how much budgets are missed, relative to their limits and summed; 0 when all are met.
        whole: whether it was measured on all samples.
    """

    choices: Choices
    evaluation: Evaluation
    loss: float
    costs: Mapping[str, float]
    estimate: float
    excess: float
    whole: bool = True

    @property
    def stands(self) -> bool:
        """True for a plan that was measured on all samples and meets every budget."""
        return self.whole and isfinite(self.loss) and self.excess == 0.0

    def get(self, name: str) -> float:
        """Return the measured ``loss`` or a cost."""
        return self.loss if name == "loss" else self.costs[name]


def loss_of(evaluation: Evaluation, float_value: float) -> float:
    """Return how far a plan falls below the float model; infinite where it could not be measured."""
    return inf if evaluation.failure else drop_between(float_value, evaluation.value)
