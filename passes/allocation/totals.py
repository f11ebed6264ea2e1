"""Exact sums over a network: what the layers, the boundaries between them and the fixed part add up to."""

from __future__ import annotations

from math import fsum
from typing import TYPE_CHECKING

from passes.allocation.problem import LOSS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from passes.allocation.choices import Choice
    from passes.allocation.problem import AllocationProblem


def total(problem: AllocationProblem, picked: Sequence[Choice], metric: str) -> float:
    """Return the loss or a cost of a network; the sum is exact before it is rounded.

    Args:
        problem: boundaries and the fixed part are taken from it.
        picked: one choice per layer, which need not respect the ties.
        metric: ``loss`` or a cost metric of the problem.
    """
    if metric == LOSS:
        return fsum(choice.loss for choice in picked)
    act_bits = {layer.name: choice.act_bits for layer, choice in zip(problem.layers, picked, strict=True)}
    between = (one.cost(act_bits[one.source], act_bits[one.reader], metric) for one in problem.boundaries)
    fixed = problem.fixed.get(metric, 0.0)
    return fsum([*(choice.cost[metric] for choice in picked), *between, fixed])
