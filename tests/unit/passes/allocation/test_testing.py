"""The conformance kit of solvers passes those there are, and finds what others do wrong."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from passes.allocation import SOLVERS, Allocation
from passes.allocation.greedy import Greedy
from passes.allocation.testing import check_solver
from passes.errors import InfeasibleError, PassContractError


@pytest.mark.parametrize("known", SOLVERS, ids=lambda known: known.name)
def test_the_solvers_there_are_pass(known: Any) -> None:
    check_solver(known)


class Wrong(Greedy):
    """Greedy, with its answer changed."""

    def __init__(self, change: Callable[..., Allocation]) -> None:
        object.__setattr__(self, "change", change)

    def solve(self, problem: Any, budgets: Any, **options: Any) -> Allocation:
        return self.change(problem, budgets, Greedy().solve(problem, budgets, **options))  # type: ignore[attr-defined, no-any-return]


def dearest(problem: Any, budgets: Any, found: Allocation) -> Allocation:
    return Greedy().solve(problem, [])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda problem, budgets, found: replace(found, loss=found.loss + 1),
            "not the sums over its choices",
        ),
        (lambda problem, budgets, found: replace(found, choices=()), "its choices are none"),
        (
            lambda problem, budgets, found: replace(found, choices=(0, 1, *found.choices[2:])),
            "take different bits",
        ),
        (lambda problem, budgets, found: replace(found, bound=1e9), "its bound of 1e\\+09 is above"),
        (dearest, "more than the limit"),
        (lambda problem, budgets, found: replace(found, status="optimal"), "is possible"),
    ],
)
def test_a_broken_promise_is_found(change: Callable[..., Allocation], message: str) -> None:
    with pytest.raises(PassContractError, match=message):
        check_solver(Wrong(change))


class Lenient(Greedy):
    """Greedy that has an answer to everything."""

    def solve(self, problem: Any, budgets: Any, **options: Any) -> Allocation:
        try:
            return Greedy().solve(problem, budgets, **options)
        except InfeasibleError:
            return Greedy().solve(problem, [], minimize="latency_s")


def test_a_budget_that_cannot_be_met_is_to_be_refused() -> None:
    with pytest.raises(PassContractError, match="does not raise InfeasibleError"):
        check_solver(Lenient())
