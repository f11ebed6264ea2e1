from __future__ import annotations

from dataclasses import replace

from passes.allocation import Budget, solver


def test_the_cheapest_step_is_taken_and_what_is_left_is_spent(two_layers):
    # Layer a gives up 4 for 2 seconds (2 each), layer b 7 for 3 (2.3 each): a, then b, then a fits again.
    found = solver("greedy").solve(two_layers, [Budget("latency_s", 5.0)])
    assert found.choices == (1, 0)
    assert (found.status, found.bound) == ("feasible", 3.0)


def test_a_budget_that_does_not_bind_is_proven(two_layers):
    found = solver("greedy").solve(two_layers, [Budget("latency_s", 8.0)])
    assert (found.status, found.loss, found.bound) == ("optimal", 3.0, 3.0)


def test_tied_layers_step_together(two_layers):
    found = solver("greedy").solve(replace(two_layers, ties=(("a", "b"),)), [Budget("latency_s", 7.0)])
    assert found.choices == (0, 0)


def test_layers_with_one_activation_step_together(two_layers):
    found = solver("greedy").solve(replace(two_layers, act_ties=(("a", "b"),)), [Budget("latency_s", 7.0)])
    assert found.choices == (0, 0)
