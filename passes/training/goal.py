"""What fine-tuning makes smaller: the distance to the float model, to the labels, or a mixture of both."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from passes.errors import UsageError
from passes.training.agreement import Agreement

if TYPE_CHECKING:
    from torch import Tensor

    from passes.training.bridge import Values

HALF = 0.5
"""Weight of the labels where there are some and nothing else is asked for."""


@dataclass(frozen=True, slots=True)
class Goal:
    """A loss.

    Attributes:
        agreement: distance to the float model.
        share: weight of the labels, 0 to 1; the rest is that of the agreement.
        output: name of the result that stands for classes, of shape (N, classes, 1, ...); empty for none.
        classes: how many there are; 0 where labels do not count.
    """

    agreement: Agreement
    share: float
    output: str
    classes: int

    @classmethod
    def of(cls, results: Values, rows: int, labels: float | None, labelled: bool) -> Goal:
        """Look at the float model's results for a few samples.

        Args:
            results: by name.
            rows: samples of a unit; see `passes.training.training_data.TrainingData`.
            labels: weight of the labels; ``None`` for half where there are labels that fit.
            labelled: there are labels.

        Raises:
            UsageError: labels are asked for, and no single result stands for classes.
        """
        units = {name: value.reshape(-1, rows, *value.shape[1:]) for name, value in results.items()}
        floats = {name: value for name, value in results.items() if value.is_floating_point()}
        name, value = next(iter(floats.items()))
        flat = value.flatten(1) if value.ndim > 1 else value[:, None]
        fits = len(floats) == 1 and flat.shape[1] == value.shape[min(1, value.ndim - 1)] > 1
        share = labels if labels is not None else HALF if labelled and fits else 0.0
        if share and not fits:
            shapes = {key: list(it.shape) for key, it in floats.items()}
            raise UsageError(
                f"finetune: labels need one result of shape (samples, classes), the model has {shapes}; "
                "learn from the float model alone with labels=0"
            )
        if fits and value.ndim > 2:
            units = {name: flat.reshape(-1, rows, flat.shape[1])}
        return cls(Agreement.of(units), share, name if fits else "", int(flat.shape[1]) if fits else 0)

    def loss(self, found: Values, wanted: Values | None, labels: Tensor | None) -> Tensor:
        """Return the mean loss of a batch.

        Args:
            found: results of the quantized model.
            wanted: those of the float model; not needed where labels alone count.
            labels: classes, shape (N,); not needed where they do not count.
        """
        total = torch.zeros(())
        if wanted is not None and self.share < 1:
            total = (1 - self.share) * self.agreement.loss(self._flat(found), self._flat(wanted))
        if labels is not None and self.share > 0:
            logs = self.agreement.logs(self._flat(found)[self.output])
            total = total + self.share * functional.nll_loss(logs, labels)
        return total

    def _flat(self, results: Values) -> Values:
        return {self.output: results[self.output].flatten(1)} if self.output else results
