from __future__ import annotations

import pytest

from passes.allocation import Budget
from passes.allocation.compiled import compile_problem
from passes.allocation.core import make_core
from passes.allocation.lagrangian import maximise_dual


def test_the_dual_is_the_linear_relaxation(two_layers):
    core = make_core(compile_problem(two_layers), [Budget("latency_s", 5.0)], "loss")
    dual = maximise_dual(core)
    # Layer b gains 7 for 3 seconds and takes 2/3 of the step with the 2 seconds there are: 14 - 2 * 7/3.
    assert dual.bound == pytest.approx(14.0 - 14.0 / 3.0, rel=1e-9)
    assert dual.price == pytest.approx([7.0 / 3.0], rel=1e-9)
