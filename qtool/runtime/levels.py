"""Weights decoded by a table for kernels that have none: the same codes, in 8 bits."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from passes.artifact import Step


def decoded(step: Step) -> Step:
    """Return the step with codes in place of indices; one whose weights have no table as it is.

    Raises:
        ArtifactError: an index lies outside the table.
    """
    if not any(weight.levels for weight in step.weights):
        return step
    weight, hidden = (None if it is None else it.decoded() for it in (step.weight, step.hidden_weight))
    return replace(step, weight=weight, hidden_weight=hidden)
