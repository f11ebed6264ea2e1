from __future__ import annotations

import pytest

from passes.allocation import AllocationProblem, Budget, Choice, InfeasibleBudgetError, LayerChoices, solver
from passes.errors import InfeasibleError

SOLVER_NAMES = ["ilp", "greedy"]


@pytest.mark.parametrize("name", SOLVER_NAMES)
def test_every_budget_that_cannot_be_met_is_named(two_layers, name):
    budgets = [Budget("latency_s", 2.0), Budget("bytes", 30.0), Budget("loss", 1.0)]
    with pytest.raises(
        InfeasibleBudgetError, match="latency_s: the limit is 2, the least that is feasible is 3"
    ) as caught:
        solver(name).solve(two_layers, budgets)
    assert caught.value.least == {"latency_s": 3.0, "loss": 3.0}
    assert isinstance(caught.value, InfeasibleError)
    assert caught.value.exit_code == 4


@pytest.mark.parametrize("name", SOLVER_NAMES)
def test_the_least_that_is_named_is_feasible(two_layers, name):
    assert solver(name).solve(two_layers, [Budget("latency_s", 3.0)]).choices == (0, 0)


@pytest.fixture
def opposed() -> AllocationProblem:
    """One layer that is either fast or small."""
    fast = Choice(4, 8, 1.0, {"latency_s": 1.0, "bytes": 9.0})
    small = Choice(8, 4, 1.0, {"latency_s": 7.0, "bytes": 2.0})
    return AllocationProblem("opposed", (LayerChoices("a", (fast, small)),))


@pytest.mark.parametrize("name", SOLVER_NAMES)
def test_budgets_that_conflict(opposed, name):
    with pytest.raises(
        InfeasibleBudgetError, match="within the budgets for bytes the least latency_s"
    ) as caught:
        solver(name).solve(opposed, [Budget("latency_s", 3.0), Budget("bytes", 4.0)])
    assert caught.value.least == {"latency_s": 7.0}
    assert "each can be met alone" in str(caught.value)
