from __future__ import annotations

import json
from dataclasses import replace
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from passes.allocation import (
    AllocationProblem,
    Boundary,
    Budget,
    Choice,
    InfeasibleBudgetError,
    LayerChoices,
    cheapest,
    evaluate,
    solver,
)
from passes.errors import ProblemError

PAIRS = ((2, 4), (4, 4), (4, 8), (8, 8))
NAMES = ("a", "b", "c", "d", "e")
AMOUNT = st.integers(0, 12) | st.floats(0, 10)


@st.composite
def problems(draw):
    names = NAMES[: draw(st.integers(1, 5))]
    layers = []
    for name in names:
        # The last pair is always there, so that any layers can be tied.
        pairs = [*draw(st.lists(st.sampled_from(PAIRS[:-1]), unique=True, max_size=3)), PAIRS[-1]]
        choices = [Choice(w, a, draw(AMOUNT), {"s": draw(AMOUNT), "bytes": draw(AMOUNT)}) for w, a in pairs]
        layers.append(LayerChoices(name, tuple(choices)))
    ties = draw(st.lists(st.lists(st.sampled_from(names), max_size=3).map(tuple), max_size=2))
    act_ties = draw(st.lists(st.lists(st.sampled_from(names), max_size=3).map(tuple), max_size=2))
    return AllocationProblem("drawn", tuple(layers), tuple(ties), tuple(act_ties))


@st.composite
def joined_problems(draw):
    """Draw a problem with boundaries, some of them parallel, opposed or between tied layers."""
    problem = draw(problems())
    names = [layer.name for layer in problem.layers]
    pairs = [(source, reader) for source in names for reader in names if source != reader]
    boundaries = []
    for source, reader in draw(st.lists(st.sampled_from(pairs), min_size=1, max_size=6)) if pairs else []:
        bits = st.tuples(st.sampled_from([4, 8, 16]), st.sampled_from([4, 8]))
        cost = st.dictionaries(st.sampled_from(["s", "bytes"]), AMOUNT, max_size=2)
        boundaries.append(Boundary(source, reader, draw(st.dictionaries(bits, cost, max_size=4))))
    return replace(problem, boundaries=tuple(boundaries), fixed={"s": float(draw(AMOUNT))})


@st.composite
def budgets(draw):
    metrics = draw(st.lists(st.sampled_from(["s", "bytes", "loss"]), max_size=3))
    return [Budget(metric, float(draw(st.integers(0, 50)))) for metric in metrics]


def everything(problem):
    """Return (choices, totals) of every choice that respects the ties."""
    found = []
    for choices in product(*(range(len(layer.choices)) for layer in problem.layers)):
        try:
            loss, cost = evaluate(problem, choices)
        except ProblemError:
            continue
        found.append((choices, {"loss": loss} | cost))
    return found


def fits(totals, limits):
    return all(totals[budget.metric] <= budget.limit * (1 + 1e-12) for budget in limits)


@settings(max_examples=60, deadline=None)
@given(joined_problems(), st.sampled_from(["loss", "s", "bytes"]))
def test_the_cheapest_is_that_of_brute_force(problem, metric):
    least = min(totals[metric] for _, totals in everything(problem))
    assert cheapest(problem, metric) == pytest.approx(least, rel=1e-9, abs=1e-12)


@given(joined_problems())
def test_json_round_trip(problem):
    assert AllocationProblem.from_json(json.loads(json.dumps(problem.to_json()))) == problem


@settings(max_examples=150, deadline=None)
@given(problems() | joined_problems(), budgets(), st.sampled_from(["loss", "s"]))
def test_the_exact_solver_equals_brute_force(problem, limits, objective):
    values = [totals[objective] for _, totals in everything(problem) if fits(totals, limits)]
    if not values:
        with pytest.raises(InfeasibleBudgetError):
            solver("ilp").solve(problem, limits, minimize=objective)
        return
    found = solver("ilp").solve(problem, limits, minimize=objective)
    totals = {"loss": found.loss} | found.cost
    assert totals[objective] == pytest.approx(min(values), rel=1e-9, abs=1e-12)
    assert found.bound == totals[objective]
    assert found.status == "optimal"
    assert fits(totals, limits)
    assert evaluate(problem, found.choices) == (found.loss, found.cost)


@settings(max_examples=100, deadline=None)
@given(problems() | joined_problems(), budgets())
def test_the_greedy_solver_is_feasible_and_never_better(problem, limits):
    try:
        best = solver("ilp").solve(problem, limits)
    except InfeasibleBudgetError:
        with pytest.raises(InfeasibleBudgetError):
            solver("greedy").solve(problem, limits)
        return
    found = solver("greedy").solve(problem, limits)
    assert fits({"loss": found.loss} | found.cost, limits)
    assert found.loss >= best.loss - 1e-9 * abs(best.loss)
    assert found.bound <= best.loss + 1e-9 * abs(best.loss)


@settings(max_examples=60, deadline=None)
@given(problems() | joined_problems(), budgets())
def test_the_least_that_an_error_names_is_the_least(problem, limits):
    try:
        solver("ilp").solve(problem, limits)
    except InfeasibleBudgetError as error:
        conflict = "each can be met alone" in str(error)
        for metric, least in error.least.items():
            others = [budget for budget in limits if conflict and budget.metric != metric]
            possible = [totals[metric] for _, totals in everything(problem) if fits(totals, others)]
            if conflict:
                # Of three budgets two may conflict already: the message names those two, and the value holds
                # for them; within all of the others the least can only be higher, or nothing is possible.
                assert least <= min(possible, default=least) * (1 + 1e-9)
            else:
                assert least == pytest.approx(min(possible))
            assert least > min(budget.limit for budget in limits if budget.metric == metric)
