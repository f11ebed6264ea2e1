"""What a choice per layer adds up to, and the least that is possible."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

from passes.allocation.budget import check_metric
from passes.allocation.compiled import compile_problem
from passes.allocation.core import make_core
from passes.allocation.exact import minimise
from passes.allocation.problem import LOSS
from passes.allocation.totals import total
from passes.errors import ProblemError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from passes.allocation.choices import Choice
    from passes.allocation.problem import AllocationProblem


def evaluate(problem: AllocationProblem, choices: Sequence[int]) -> tuple[float, dict[str, float]]:
    """Return the loss and the costs of one choice index per layer; every sum is exact before it is rounded.

    Raises:
        ProblemError: another number of layers, an index out of range, or tied layers that disagree.
    """
    if len(choices) != len(problem.layers):
        raise ProblemError(
            f"expected one choice for each of {len(problem.layers)} layers, found {len(choices)}"
        )
    picked = []
    for layer, index in zip(problem.layers, choices, strict=True):
        if not 0 <= index < len(layer.choices):
            raise ProblemError(
                f"layer {layer.name!r}: expected a choice from 0 to {len(layer.choices) - 1}, found {index}"
            )
        picked.append(layer.choices[index])
    _check_agreement(problem, {layer.name: one for layer, one in zip(problem.layers, picked, strict=True)})
    return total(problem, picked, LOSS), {
        metric: total(problem, picked, metric) for metric in problem.metrics
    }


def cheapest(problem: AllocationProblem, metric: str) -> float:
    """Return the least total of a metric, or of ``loss``, that the ties allow; boundaries and all.

    Raises:
        UsageError: the problem has no such metric.
    """
    check_metric(problem, metric)
    compiled = compile_problem(problem)
    core = make_core(compiled, (), metric)
    taken = compiled.choices(core.option[minimise(core, inf).taken])
    picked = [layer.choices[at] for layer, at in zip(problem.layers, taken, strict=True)]
    return total(problem, picked, metric)


def _check_agreement(problem: AllocationProblem, taken: dict[str, Choice]) -> None:
    for group in problem.ties:
        pairs = {taken[name].pair for name in group}
        if len(pairs) > 1:
            raise ProblemError(f"the tied layers {', '.join(group)} take different bits: {sorted(pairs)}")
    for group in problem.act_ties:
        bits = {taken[name].act_bits for name in group}
        if len(bits) > 1:
            raise ProblemError(
                f"the layers {', '.join(group)} share their activation but take act_bits {sorted(bits)}"
            )
