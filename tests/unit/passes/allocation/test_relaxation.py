from __future__ import annotations

from dataclasses import replace
from time import monotonic

import numpy as np
import pytest

from passes.allocation import Boundary, Budget, relaxation
from passes.allocation.compiled import compile_problem
from passes.allocation.core import make_core
from passes.allocation.relaxation import relax

APART = Boundary("a", "b", {(8, 4): {"latency_s": 1.5}, (4, 8): {"latency_s": 4.0}})


def _core(problem, limit, objective):
    budgets = [] if limit is None else [Budget("latency_s", limit)]
    return make_core(compile_problem(replace(problem, boundaries=(APART,))), budgets, objective)


def test_on_a_chain_without_budgets_the_bound_is_the_least(two_layers):
    dual = relax(_core(two_layers, None, "latency_s"), monotonic() + 9)
    assert dual.bound == pytest.approx(3.0, rel=1e-6)


def test_a_budget_gets_the_price_of_the_better_of_two_steps(two_layers):
    # (4, 4) takes 3 s and loses 14, (8, 4) 6.5 s and 10, (4, 8) 10 s and 7, (8, 8) 8 s and 3. On the lower
    # hull lie the first and the last, 11 of loss in 5 s; half way there is 5.5 s.
    dual = relax(_core(two_layers, 5.5, "loss"), monotonic() + 9)
    assert dual.bound == pytest.approx(8.5, rel=1e-6)
    assert dual.price == pytest.approx([2.2], rel=1e-6)


def test_out_of_time_the_bound_still_holds(two_layers, monkeypatch):
    monkeypatch.setattr(relaxation, "_solve", lambda program, seconds: None)
    core = _core(two_layers, 5.5, "loss")
    dual = relax(core, monotonic())
    assert dual.bound == 3.0
    assert np.array_equal(dual.seen[0], core.agreeing(dual.seen[0]))
