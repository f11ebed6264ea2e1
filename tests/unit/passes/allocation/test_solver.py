from __future__ import annotations

import sys
from importlib.metadata import EntryPoint

import pytest

from passes.allocation import SOLVERS, Budget, solver, solver_names
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


class Mine:
    """A solver of another package."""

    name = "mine"

    def solve(self, problem, budgets, **options):
        return SOLVERS[0].solve(problem, budgets, **options)


class Misnamed(Mine):
    name = "other"


def offered(monkeypatch: pytest.MonkeyPatch, *names: str, value: str = "Mine") -> None:
    points = [EntryPoint(name, f"{__name__}:{value}", "qtool.solvers") for name in names]
    # The package has a function of the name of the module.
    module = sys.modules["passes.allocation.solver"]
    monkeypatch.setattr(module, "entry_points", lambda group: points)
    monkeypatch.setattr(EntryPoint, "load", lambda self: globals()[value])


def test_an_installed_solver_is_found_by_its_name(monkeypatch, two_layers):
    offered(monkeypatch, "mine")
    assert solver_names() == ("ilp", "greedy", "mine")
    assert solver("mine").solve(two_layers, []).status == "optimal"
    with pytest.raises(UsageError, match="did you mean mine"):
        solver("mime")


@pytest.mark.parametrize(
    ("names", "value", "message"),
    [
        (("mine", "mine"), "Mine", "'mine' is offered by .* and .*; uninstall one"),
        (("ilp",), "Mine", "'ilp' is offered by the built-in solver and"),
        (("mine",), "Misnamed", "must make an object of that name with a method solve, found Misnamed"),
        (("mine",), "pytest", "cannot be loaded"),
    ],
)
def test_an_installed_solver_that_cannot_be_used(monkeypatch, names, value, message):
    offered(monkeypatch, *names, value=value)
    with pytest.raises(UsageError, match=message):
        solver(names[0]) if value != "Mine" else solver_names()
