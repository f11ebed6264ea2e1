"""How far the results of a quantized model are from those of the float one, with gradients."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional

from passes.analysis.changes import SUM_TOLERANCE

if TYPE_CHECKING:
    from passes.training.bridge import Values

TINY = 1e-12


@dataclass(frozen=True, slots=True)
class Agreement:
    """A loss over results.

    Where the only floating-point result stands for distributions over its last axis, logits or shares, it is
    the mean divergence of Kullback and Leibler in nats; elsewhere the sum of squared errors of all
    floating-point results, each over its own variance.

    Attributes:
        shares: results are probabilities already.
        units: variance of each floating-point result over all samples; empty for a divergence.
    """

    shares: bool
    units: dict[str, float]

    @classmethod
    def of(cls, results: Values) -> Agreement:
        """Look at the results of the float model, each of shape (samples, rows, ...)."""
        floats = {name: value for name, value in results.items() if value.is_floating_point()}
        only = next(iter(floats.values()), None)
        if len(floats) == 1 and only is not None and only.ndim > 2 and only.shape[-1] > 1:
            sums = only.sum(dim=-1)
            shares = bool(only.min() >= 0) and bool((sums - 1).abs().max() < SUM_TOLERANCE)
            return cls(shares, {})
        return cls(False, {name: max(float(value.var()), TINY) for name, value in floats.items()})

    def loss(self, found: Values, wanted: Values) -> Tensor:
        """Return the mean loss of a batch.

        Args:
            found: results of the quantized model, by name.
            wanted: those of the float model.
        """
        if self.units:
            errors = [(found[name] - wanted[name]).square().mean() / it for name, it in self.units.items()]
            return torch.stack(errors).sum()
        (name,) = (name for name, value in wanted.items() if value.is_floating_point())
        logs, goal = (self.logs(values[name]) for values in (found, wanted))
        return functional.kl_div(logs, goal, reduction="sum", log_target=True) / (
            goal.numel() // goal.shape[-1]
        )

    def logs(self, result: Tensor) -> Tensor:
        """Return logarithms of shares over the last axis."""
        return torch.log(result.clamp(min=TINY)) if self.shares else torch.log_softmax(result, dim=-1)
