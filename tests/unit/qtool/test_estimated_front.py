"""The front around a plan."""

from __future__ import annotations

import pytest

from passes.allocation import AllocationProblem, Budget, Choice, LayerChoices
from passes.allocation.decision import Decision
from passes.allocation.ilp import Ilp
from qtool.estimated_front import estimated_front, uniform_choices


def problem() -> AllocationProblem:
    """Two layers at 2, 4 and 8 bits, the second not at 2."""
    rows = {"a": ((2, 9.0, 1.0), (4, 3.0, 2.0), (8, 0.0, 4.0)), "b": ((4, 2.0, 2.0), (8, 0.0, 4.0))}
    layers = (
        LayerChoices(
            name,
            tuple(Choice(bits, bits, loss, {"bops": 1.0, "latency_s": time}) for bits, loss, time in choices),
        )
        for name, choices in rows.items()
    )
    return AllocationProblem("two", tuple(layers))


def decided(*budgets: Budget) -> Decision:
    """The decision of the exact solver."""
    return Decision.of(problem(), list(budgets), "loss", Ilp().solve(problem(), budgets))


def test_uniform_plans_are_those_that_every_layer_offers() -> None:
    assert uniform_choices(problem()) == {"w4a4": (1, 0), "w8a8": (2, 1)}


def test_the_front_lies_along_the_cost_of_the_budget() -> None:
    front = estimated_front(decided(Budget("latency_s", 6.0)))
    assert (front.metric, front.layers) == ("latency_s", ("a", "b"))
    plan = front.points[0]
    assert (plan.name, plan.kind, plan.loss, plan.cost, plan.bound) == ("this plan", "plan", 2.0, 6.0, 2.0)
    assert (plan.weight_bits, plan.act_bits) == ((8, 4), (8, 4))


def test_optimal_plans_fall_in_loss_as_they_rise_in_cost_and_meet_their_bound() -> None:
    points = estimated_front(decided(Budget("latency_s", 6.0))).points
    best = [(point.cost, point.loss) for point in points if point.kind == "optimal"]
    # All plans but those that another one beats; (5.0, 9.0) and (6.0, 3.0) are beaten.
    assert best == [(3.0, 11.0), (4.0, 5.0), (6.0, 2.0), (8.0, 0.0)]
    assert all(point.bound == pytest.approx(point.loss) for point in points if point.kind == "optimal")
    assert [point.name for point in points if point.kind == "uniform"] == ["w4a4", "w8a8"]


def test_within_two_budgets_the_plan_has_no_bound_along_one() -> None:
    front = estimated_front(decided(Budget("latency_s", 6.0), Budget("bops", 2.0)))
    assert front.points[0].bound is None


def test_a_notebook_shows_the_points_by_cost() -> None:
    text = estimated_front(decided(Budget("latency_s", 6.0)))._repr_html_()
    assert text.index("optimum 1") < text.index("this plan") < text.index("w8a8")
