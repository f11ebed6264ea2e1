from __future__ import annotations

import numpy as np

from passes.allocation import Budget
from passes.allocation.compiled import compile_problem
from passes.allocation.core import make_core
from passes.allocation.rounding import fill, repair


def test_repair_gives_up_what_is_cheapest_per_unit(two_layers):
    core = make_core(compile_problem(two_layers), [Budget("latency_s", 6.0)], "loss")
    # Layer a gives up 4 for 2 seconds, layer b 7 for 3; the excess is 2 seconds.
    taken = repair(core, np.array([1, 3]), core.value)
    assert taken is not None
    assert taken.tolist() == [0, 3]


def test_repair_knows_when_it_cannot(two_layers):
    core = make_core(compile_problem(two_layers), [Budget("latency_s", 2.0)], "loss")
    assert repair(core, np.array([1, 3]), core.value) is None


def test_fill_takes_the_largest_drop_that_fits(two_layers):
    core = make_core(compile_problem(two_layers), [Budget("latency_s", 6.0)], "loss")
    assert fill(core, np.array([0, 2])).tolist() == [0, 3]


def test_fill_leaves_a_choice_that_cannot_be_bettered(two_layers):
    core = make_core(compile_problem(two_layers), [Budget("latency_s", 9.0)], "loss")
    assert fill(core, np.array([1, 3])).tolist() == [1, 3]
