"""A budget on peak memory against every plan there is."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwmodels import LiveTensor, Schedule, Step
from passes.allocation import (
    Allocation,
    AllocationProblem,
    Budget,
    Choice,
    InfeasibleBudgetError,
    LayerChoices,
    solver,
)
from passes.allocation.memory import LiveGroup, MemoryBudget

WIDTHS = (2, 4, 8)


def problem_of(rng: np.random.Generator, layers: int) -> AllocationProblem:
    """Layers that lose more at fewer bits; the last two read one tensor."""
    made = []
    for at in range(layers):
        losses = np.sort(rng.uniform(0, 1, len(WIDTHS)))[::-1]
        choices = [
            Choice(8, a, float(loss), {"size": float(a)}) for a, loss in zip(WIDTHS, losses, strict=True)
        ]
        made.append(LayerChoices(f"layer{at}", tuple(choices)))
    return AllocationProblem("net", tuple(made), act_ties=((f"layer{layers - 2}", f"layer{layers - 1}"),))


def budget_of(rng: np.random.Generator, layers: int, limit: float) -> MemoryBudget:
    """A chain, with a tensor that the last step reads again and one in floating point."""
    sizes = rng.integers(1, 40, layers + 2)
    tensors = tuple(LiveTensor(f"t{at}", int(size), 32) for at, size in enumerate(sizes))
    steps = [Step((f"t{at}",), (f"t{at + 1}",)) for at in range(layers + 1)]
    steps[-1] = replace(steps[-1], reads=(*steps[-1].reads, f"t{rng.integers(0, layers)}"))
    stored = {bits: bits for bits in WIDTHS}
    group = {f"t{at}": LiveGroup(f"layer{at}", stored) for at in range(layers - 1)}
    group[f"t{layers - 1}"] = LiveGroup(None, {8: 8})
    return MemoryBudget(Schedule(tensors, tuple(steps), (f"t{layers + 1}",)), group, limit)


def best_of_all(problem: AllocationProblem, budget: MemoryBudget, size: float) -> float | None:
    """Return the least loss of all plans within both limits."""
    best = None
    for taken in itertools.product(*(layer.choices for layer in problem.layers)):
        bits = {layer.name: it.act_bits for layer, it in zip(problem.layers, taken, strict=True)}
        tied = len({bits[name] for name in problem.act_ties[0]}) == 1
        widths = {
            name: group.stored[bits[group.reader]] if group.reader else 8
            for name, group in budget.group.items()
        }
        peak = budget.schedule.with_bits(widths).peak_bytes()
        if tied and peak <= budget.limit and sum(it.cost["size"] for it in taken) <= size:
            loss = sum(it.loss for it in taken)
            best = loss if best is None else min(best, loss)
    return best


@given(st.integers(0, 10_000), st.integers(3, 5), st.floats(0.3, 1.1), st.floats(0.3, 1.0))
def test_the_answer_is_the_best_of_all_plans(seed: int, layers: int, share: float, dense: float) -> None:
    rng = np.random.default_rng(seed)
    problem = problem_of(rng, layers)
    budget = budget_of(rng, layers, 0.0)
    budget = replace(budget, limit=share * budget.schedule.peak_bytes() / 2)
    size = dense * 8 * layers

    def solve(asked: AllocationProblem, budgets: Sequence[Budget]) -> Allocation:
        return solver("ilp").solve(asked, budgets)

    best = best_of_all(problem, budget, size)
    if best is None:
        with pytest.raises(InfeasibleBudgetError, match=r"peak_memory_bytes|size"):
            budget.solve(problem, [Budget("size", size)], solve)
    else:
        _, _, found = budget.solve(problem, [Budget("size", size)], solve)
        assert found.loss == pytest.approx(best, abs=1e-12)
