from __future__ import annotations

import pytest

from passes.allocation import SOLVERS, Budget, solver
from passes.errors import UsageError


def test_every_solver_is_found_by_its_name():
    assert [solver(known.name) for known in SOLVERS] == list(SOLVERS)


def test_an_unknown_solver_gets_a_hint():
    with pytest.raises(UsageError, match="did you mean greedy"):
        solver("gredy")


@pytest.mark.parametrize("known", SOLVERS, ids=lambda known: known.name)
def test_an_unknown_metric_is_refused(known, two_layers):
    with pytest.raises(UsageError, match="unknown metric 'latency'"):
        known.solve(two_layers, [Budget("latency", 1.0)])
    with pytest.raises(UsageError, match="unknown metric 'energy_j'"):
        known.solve(two_layers, [], minimize="energy_j")
