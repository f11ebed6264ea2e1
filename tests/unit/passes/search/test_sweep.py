from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import Any

import pytest
from made_problem import Stub, make_problem

from passes.allocation import Allocation, Budget, evaluate
from passes.allocation.ilp import Ilp
from passes.search.budgets import BudgetSweep
from passes.search.driver import Limits, search
from passes.search.sweep import Sweep
from passes.search.task import SearchTask


@pytest.fixture
def small() -> SearchTask:
    """Few enough plans to enumerate."""
    return SearchTask(make_problem(3), ("loss", "latency_s"), samples=100, loss_reference=0.5)


def estimates(task: SearchTask) -> list[tuple[float, float]]:
    """Cost and estimated loss of every plan."""
    found = []
    for genome in product(*(range(size) for size in task.space.sizes)):
        loss, costs = evaluate(task.problem, task.space.decode(genome))
        found.append((costs["latency_s"], loss))
    return found


def test_a_sweep_finds_only_plans_that_are_best_at_their_cost(small: SearchTask) -> None:
    plans = list(BudgetSweep(small, small.problem, Ilp(), 5.0).plans(12))
    everything = estimates(small)
    assert len(plans) == len(set(plans)) > 3
    for choices in plans:
        loss, costs = evaluate(small.problem, choices)
        least = min(other for cost, other in everything if cost <= costs["latency_s"] * (1 + 1e-12))
        assert loss == pytest.approx(least)


def test_the_ends_of_the_range_come_first(small: SearchTask) -> None:
    first, second, *_ = BudgetSweep(small, small.problem, Ilp(), 5.0).plans(3)
    costs = [cost for cost, _ in estimates(small)]
    assert evaluate(small.problem, first)[0] == 0.0
    assert small.costs(second)["latency_s"] == pytest.approx(min(costs))


def test_budgets_of_the_task_hold(small: SearchTask) -> None:
    limit = small.costs(small.space.uniform(4))["latency_s"]
    bounded = replace(small, budgets=(Budget("latency_s", limit),))
    plans = list(BudgetSweep(bounded, small.problem, Ilp(), 5.0).plans(6))
    assert plans
    assert all(small.costs(choices)["latency_s"] <= limit * (1 + 1e-9) for choices in plans)


def test_a_sweep_ends_by_itself(small: SearchTask) -> None:
    result = search(small, Sweep(budgets=5), Stub(small.problem), Limits(1000))
    assert result.stopped == "solver"
    assert len(result.points) <= 5


class Counting:
    """The exact solver, counting."""

    name = "counting"

    def __init__(self) -> None:
        self.solved = 0

    def solve(self, *args: Any, **options: Any) -> Allocation:
        self.solved += 1
        return Ilp().solve(*args, **options)


def test_plans_are_solved_for_as_they_are_asked_for(small: SearchTask) -> None:
    solver = Counting()
    plans = BudgetSweep(small, small.problem, solver, 5.0).plans(400)
    next(plans), next(plans)
    assert solver.solved == 2
