"""What is learned in a block, how, and what came of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray

    from passes.training.biases import ShiftedBias
    from passes.training.bridge import Values
    from passes.training.steps import StepQuantizer


@dataclass(frozen=True, slots=True)
class Recipe:
    """How blocks are learned.

    Attributes:
        iterations: steps of Adam.
        batch: samples per step.
        rate: learning rate of the rounding.
        step_rate: learning rate of activation steps, relative to the step.
        bias_rate: learning rate of biases, relative to the spread of the layer's output.
        drop: probability with which an activation is taken as it is in float.
        regularization: weight of the push towards whole codes; 1 weighs as much as the error at the start.
    """

    iterations: int
    batch: int
    rate: float
    step_rate: float
    bias_rate: float
    drop: float
    regularization: float


class WeightPart(Protocol):
    """A weight whose codes are learned."""

    @property
    def parameter(self) -> Tensor:
        """What is learned."""

    def learn(self) -> None:
        """Let gradients reach the parameter."""

    def soft(self) -> Tensor:
        """Return the weight as it is trained, differentiable."""

    def hard(self) -> Tensor:
        """Return the weight in whole codes."""

    def codes(self) -> NDArray[np.integer]:
        """Return the codes, in ONNX layout."""

    def undecided(self, beta: float) -> Tensor:
        """Return how far the weight is from whole codes: 0 for not at all, at most 1."""


@dataclass
class Parts:
    """What is learned in a block, and what stands around it.

    Attributes:
        weights: by the name of the constant.
        biases: by the name of the tensor.
        steps: quantizers that are learned here.
        fixed: weights and biases that were learned before, by name.
        changes: quantizers of all activations, learned or not, by tensor name.
    """

    weights: dict[str, WeightPart]
    biases: dict[str, ShiftedBias]
    steps: list[StepQuantizer]
    fixed: Values
    changes: Mapping[str, StepQuantizer]
    _kept: list[Tensor] = field(default_factory=list)

    def hard(self) -> Values:
        """Return the constants as they will be stored."""
        with torch.no_grad():
            weights = {name: weight.hard() for name, weight in self.weights.items()}
            return self.fixed | weights | {name: bias.value() for name, bias in self.biases.items()}

    def soft(self) -> Values:
        """Return the constants as they are trained."""
        weights = {name: weight.soft() for name, weight in self.weights.items()}
        return self.fixed | weights | {name: bias.value() for name, bias in self.biases.items()}

    def undecided(self, beta: float) -> Tensor:
        """Return the regularizer, averaged over all weights."""
        return torch.stack([weight.undecided(beta) for weight in self.weights.values()]).mean()

    def parameters(self) -> list[Tensor]:
        """Return everything that is trained."""
        logits = [weight.parameter for weight in self.weights.values()]
        return logits + [step.shift for step in self.steps] + [bias.shift for bias in self.biases.values()]

    def rated(self, rate: float, step_rate: float, bias_rate: float) -> list[dict[str, Any]]:
        """Return what is trained with the learning rate of each kind, as optimizers take it."""
        groups: list[dict[str, Any]] = [
            {"params": [weight.parameter for weight in self.weights.values()], "lr": rate},
            {"params": [step.shift for step in self.steps], "lr": step_rate},
            {"params": [bias.shift for bias in self.biases.values()], "lr": bias_rate},
        ]
        return [group for group in groups if group["params"]]

    def begin(self) -> None:
        """Let gradients reach the parameters, and keep their values for `restore`."""
        learned: list[WeightPart | StepQuantizer | ShiftedBias] = [
            *self.weights.values(),
            *self.steps,
            *self.biases.values(),
        ]
        for part in learned:
            part.learn()
        self.remember()

    def remember(self) -> None:
        """Keep the present values for `restore`."""
        self._kept = [parameter.detach().clone() for parameter in self.parameters()]

    def settle(self) -> None:
        """Stop gradients."""
        for step in self.steps:
            step.settle()

    def restore(self) -> None:
        """Go back to the values kept last."""
        with torch.no_grad():
            for parameter, value in zip(self.parameters(), self._kept, strict=True):
                parameter.copy_(value)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a block.

    Attributes:
        before: error of its exits with the codes to start with, each relative to itself: their number.
        after: the same of what was learned.
        reason: why that was not kept; empty when it was.
    """

    before: float
    after: float
    reason: str
