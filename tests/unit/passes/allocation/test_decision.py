"""A decision as a document: written, read, and refused when it contradicts itself."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from passes.allocation import AllocationProblem, Budget
from passes.allocation.decision import KEY, Decision
from passes.allocation.ilp import Ilp
from passes.errors import ProblemError


@pytest.fixture
def decision(two_layers: AllocationProblem) -> Decision:
    """The least loss within a latency of 6: the first layer at 4 bits, the second at 8."""
    budgets = [Budget("latency_s", 6.0)]
    return Decision.of(two_layers, budgets, "loss", Ilp().solve(two_layers, budgets))


def test_a_decision_names_what_was_taken(decision: Decision) -> None:
    assert decision.pairs == {"a": (4, 4), "b": (8, 8)}
    assert decision.bound == 7.0


def test_what_is_written_is_read_again(decision: Decision, tmp_path: Path) -> None:
    file = tmp_path / "problem.json"
    file.write_text(json.dumps(decision.to_json()), encoding="utf-8")
    assert Decision.load(file) == decision
    # The same file is a problem that `qtool allocate` takes.
    assert AllocationProblem.load(file) == decision.problem


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda it: it.pop(KEY), "decision: expected an object"),
        (lambda it: it[KEY].update(choices=[0]), "expected one choice for each of 2 layers, found 1"),
        (lambda it: it[KEY].update(choices=[0, 7]), "expected a choice from 0 to 1, found 7"),
        (lambda it: it[KEY].update(choices=[0, True]), r"choices\[1\]: expected the index of a choice"),
        (lambda it: it[KEY].update(minimize="speed"), "minimize: expected one of loss, latency_s, bytes"),
        (lambda it: it[KEY].update(bound="low"), "bound: expected a finite number"),
        (lambda it: it[KEY].update(budgets=[{"metric": "speed", "limit": 1}]), r"budgets\[0\].metric"),
        (lambda it: it[KEY].update(budgets={}), "budgets: expected an array"),
        (lambda it: it.update(layers=[]), "there are no layers"),
    ],
)
def test_contradictions_are_refused(
    decision: Decision, change: Callable[[dict[str, Any]], object], message: str
) -> None:
    document = json.loads(json.dumps(decision.to_json()))
    change(document)
    with pytest.raises(ProblemError, match=message):
        Decision.from_json(document, "problem.json")


def test_a_notebook_shows_the_choices(decision: Decision) -> None:
    assert decision._repr_html_().count("<tr>") == 3
