"""Prices, reduced costs, and what other choices change: by hand, and against every plan there is."""

from __future__ import annotations

from itertools import product
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from passes.allocation import AllocationProblem, Budget, Choice, LayerChoices, evaluate
from passes.allocation.boundaries import Boundary
from passes.allocation.decision import Decision
from passes.allocation.ilp import Ilp
from passes.allocation.marginal import alternatives, margin
from passes.errors import ProblemError

LATENCY = "latency_s"


def decided(problem: AllocationProblem, *budgets: Budget) -> Decision:
    """The decision of the exact solver."""
    return Decision.of(problem, list(budgets), "loss", Ilp().solve(problem, budgets))


def one_layer(*choices: tuple[float, float], act_ties: tuple[tuple[str, ...], ...] = ()) -> LayerChoices:
    """A layer called ``a`` with choices of (loss, latency) at 2, 4, 8 bits."""
    bits = (2, 4, 8)
    return LayerChoices(
        "a",
        tuple(Choice(b, b, loss, {LATENCY: cost}) for b, (loss, cost) in zip(bits, choices, strict=False)),
    )


def test_the_price_is_the_slope_between_the_plans_around_the_budget() -> None:
    # Within a latency of 2 the relaxation mixes (5, 1) and (1, 3) in halves: a loss of 3, 2 less per unit.
    problem = AllocationProblem("one", (one_layer((5.0, 1.0), (1.0, 3.0)),))
    found = margin(decided(problem, Budget(LATENCY, 2.0)))
    assert found.bound == pytest.approx(3.0)
    assert found.prices == pytest.approx({LATENCY: 2.0})
    assert found.reduced_costs == ((0.0, 0.0),)


def test_a_budget_with_room_has_no_price() -> None:
    problem = AllocationProblem("one", (one_layer((5.0, 1.0), (1.0, 3.0)),))
    found = margin(decided(problem, Budget(LATENCY, 9.0)))
    assert found.prices == {LATENCY: 0.0}
    assert found.reduced_costs == ((4.0, 0.0),)


def test_without_budgets_a_reduced_cost_is_the_loss_above_the_best() -> None:
    problem = AllocationProblem("one", (one_layer((5.0, 1.0), (2.0, 3.0), (1.5, 4.0)),))
    found = margin(decided(problem))
    assert (found.bound, found.prices) == (1.5, {})
    assert found.reduced_costs == ((3.5, 0.5, 0.0),)


def test_what_a_choice_changes_with_all_else_the_same(two_layers: AllocationProblem) -> None:
    decision = Decision(two_layers, (Budget(LATENCY, 6.0),), "loss", (0, 1))
    narrow, wide = alternatives(decision, "a", margin(decision))
    assert (narrow.taken, narrow.loss, narrow.exceeds) == (True, 0.0, ())
    assert (wide.taken, wide.loss, wide.cost) == (False, -4.0, {LATENCY: 2.0, "bytes": 10.0})
    assert wide.exceeds == (LATENCY,)


def test_readers_of_one_activation_move_together(two_layers: AllocationProblem) -> None:
    tied = AllocationProblem("tied", two_layers.layers, act_ties=(("a", "b"),))
    decision = Decision(tied, (), "loss", (1, 1))
    narrow, wide = alternatives(decision, "a", margin(decision))
    # The other layer has no choice of its own weight bits, 8, beside 4 bits of activation.
    assert (narrow.loss, narrow.partners) == (None, ())
    assert (wide.taken, wide.partners) == (True, ())


def test_tied_layers_move_together(two_layers: AllocationProblem) -> None:
    tied = AllocationProblem("tied", two_layers.layers, ties=(("a", "b"),))
    decision = Decision(tied, (Budget(LATENCY, 7.0),), "loss", (0, 0))
    wide = alternatives(decision, "a", margin(decision))[1]
    assert (wide.partners, wide.loss, wide.exceeds) == (("b",), -11.0, (LATENCY,))


numbers = st.integers(0, 20).map(float)


@st.composite
def problems(draw: st.DrawFn) -> AllocationProblem:
    """Up to four layers of up to three choices, some with a boundary, some with a tie."""
    names = "abcd"[: draw(st.integers(1, 4))]
    layers = []
    for name in names:
        bits = draw(st.lists(st.sampled_from((2, 4, 8)), min_size=2, max_size=3, unique=True))
        choices = (Choice(b, b, draw(numbers), {LATENCY: draw(numbers)}) for b in sorted(bits))
        layers.append(LayerChoices(name, tuple(choices)))
    boundaries: tuple[Boundary, ...] = ()
    if len(names) > 1 and draw(st.booleans()):
        costs = {(2, 4): {LATENCY: draw(numbers)}, (8, 4): {LATENCY: draw(numbers)}}
        boundaries = (Boundary("a", "b", costs),)
    ties = (("a", "b"),) if len(names) > 1 and draw(st.booleans()) else ()
    try:
        return AllocationProblem("drawn", tuple(layers), (), ties, boundaries)
    except ProblemError:
        # The two layers share no width.
        return AllocationProblem("drawn", tuple(layers), (), (), boundaries)


def every_plan(problem: AllocationProblem) -> dict[tuple[int, ...], tuple[float, float]]:
    """Loss and latency of all plans that respect the ties."""
    plans = {}
    for choices in product(*(range(len(layer.choices)) for layer in problem.layers)):
        try:
            loss, cost = evaluate(problem, choices)
        except ProblemError:
            continue
        plans[choices] = (loss, cost[LATENCY])
    return plans


@given(problems(), st.integers(0, 60))
def test_no_plan_with_a_choice_is_better_than_its_reduced_cost_says(
    problem: AllocationProblem, room: int
) -> None:
    plans = every_plan(problem)
    limit = max(float(room), min(latency for _, latency in plans.values()))
    found = margin(decided(problem, Budget(LATENCY, limit)))
    for at, row in enumerate(found.reduced_costs):
        for index, rise in enumerate(row):
            losses = [
                loss for plan, (loss, used) in plans.items() if plan[at] == index and used <= limit + 1e-9
            ]
            assert min(losses, default=inf) >= found.bound + min(rise, 1e9) - 1e-6
