"""Explanations as sentences: what binds, what neighbours would change, and what cannot be explained."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from passes.allocation import AllocationProblem, Budget, Choice, LayerChoices
from passes.allocation.decision import Decision
from passes.allocation.ilp import Ilp
from passes.errors import ReportError, UsageError
from qtool.explain import explain
from qtool.explanation import choices_table, explanation
from qtool.report import LayerReport, Report, report_json

Folder = Callable[[Decision], Path]


def decision(*budgets: Budget, act_ties: tuple[tuple[str, ...], ...] = ()) -> Decision:
    """Two layers of which one is at 2, 4 or 8 bits and the other pinned to 8."""
    rows = ((2, 0.9, 1e-3), (4, 0.3, 2e-3), (8, 0.1, 4e-3))
    free = LayerChoices("free", tuple(Choice(bits, bits, loss, {"latency_s": s}) for bits, loss, s in rows))
    pinned = LayerChoices("pinned", (Choice(8, 8, 0.0, {"latency_s": 1e-3}),))
    problem = AllocationProblem("two", (free, pinned), act_ties=act_ties)
    return Decision.of(problem, list(budgets), "loss", Ilp().solve(problem, budgets))


@pytest.fixture
def folder(tmp_path: Path, report: Report) -> Folder:
    """Write the folder of a run that made a decision."""
    from dataclasses import replace

    def write(made: Decision) -> Path:
        layers = tuple(LayerReport(name, "Conv", *pair) for name, pair in made.pairs.items())
        (tmp_path / "report.json").write_text(report_json(replace(report, layers=layers)), encoding="utf-8")
        (tmp_path / "problem.json").write_text(json.dumps(made.to_json()), encoding="utf-8")
        return tmp_path

    return write


def sentences(folder: Path, layer: str) -> str:
    """The explanation of a layer."""
    return " ".join(explanation(explain(folder, layer)))


def test_a_budget_that_binds_has_a_price(folder: Folder) -> None:
    text = sentences(folder(decision(Budget("latency_s", 4e-3))), "free")
    assert "free has w4a4 in the plan" in text
    assert "The budget on latency binds: 3 ms of 4 ms" in text


def test_a_budget_with_room_does_not_bind(folder: Folder) -> None:
    text = sentences(folder(decision(Budget("latency_s", 9e-3))), "free")
    assert "The budget on latency does not bind: 5 ms of 9 ms." in text


def test_neighbours_differ_in_one_width_only(folder: Folder) -> None:
    # Here weights and activations rise together, so that no choice has more bits on one side alone.
    document = explain(folder(decision(Budget("latency_s", 4e-3))), "free")
    assert [row["choice"] for row in choices_table(document)] == ["w2a2", "w4a4 (taken)", "w8a8"]
    assert len(explanation(document)) == 2


def test_a_pinned_layer_has_no_choice(folder: Folder) -> None:
    assert "It has no other choice" in sentences(folder(decision()), "pinned")


def test_without_budgets_nothing_binds(folder: Folder) -> None:
    text = sentences(folder(decision()), "free")
    assert "There is no budget" in text
    assert "free has w8a8" in text


def test_what_a_choice_changes_is_in_the_document(folder: Folder) -> None:
    document = explain(folder(decision(Budget("latency_s", 4e-3))), "free")
    by_bits = {choice["weight_bits"]: choice for choice in document["choices"]}
    assert by_bits[8]["change"] == pytest.approx({"loss": -0.2, "latency_s": 2e-3})
    assert by_bits[8]["exceeds"] == ["latency_s"]
    assert by_bits[2]["exceeds"] == []
    assert by_bits[4]["taken"]
    json.dumps(document, allow_nan=False)


def test_a_layer_whose_partner_cannot_follow(folder: Folder) -> None:
    tied = decision(act_ties=(("free", "pinned"),))
    document = explain(folder(tied), "free")
    changes = {choice["act_bits"]: choice["change"] for choice in document["choices"]}
    assert changes[4] is None
    assert changes[8] is not None
    # The bound of the relaxation does not rise without limit: the choice cannot be taken at all.
    assert {choice["act_bits"]: choice["reduced_cost"] for choice in document["choices"]}[2] is None


def search_folder(tmp_path: Path, bits: int) -> Path:
    """The folder of a search with one point that has these bits in its free layer."""
    document: dict[str, Any] = {
        "qtool": "0.1.0",
        "model": {"path": "net.onnx", "sha256": "ab"},
        "metric": {"name": "top1", "samples": 1, "float": 1.0},
        "objectives": ["loss", "latency_s"],
        "knee": 0,
        "front": [
            {
                "index": 0,
                "value": 0.9,
                "loss": 0.1,
                "cost": {"latency_s": 3e-3},
                "estimate": 0.3,
                "layers": [
                    {"name": "free", "weight_bits": bits, "act_bits": bits},
                    {"name": "pinned", "weight_bits": 8, "act_bits": 8},
                ],
            }
        ],
    }
    rest = {"target": "bitfusion", "solver": "sweep", "seed": 0, "budgets": [], "evaluations": 1}
    rest |= {"failed": 0, "stopped": "solver", "hypervolume": 0.5}
    (tmp_path / "front.json").write_text(json.dumps(document | rest), encoding="utf-8")
    (tmp_path / "problem.json").write_text(json.dumps(decision().problem.to_json()), encoding="utf-8")
    return tmp_path


def test_a_point_of_a_search_is_explained_within_its_own_costs(tmp_path: Path) -> None:
    text = sentences(search_folder(tmp_path, 4), "free")
    assert "free has w4a4" in text
    assert "3 ms of 3 ms" in text


def test_a_point_of_another_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ReportError, match="different runs"):
        explain(search_folder(tmp_path, 3), "free")


def test_a_search_without_its_problem_is_refused(tmp_path: Path) -> None:
    (search_folder(tmp_path, 4) / "problem.json").unlink()
    with pytest.raises(ReportError, match="run the search again"):
        explain(tmp_path, "free")


def test_a_point_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="counted from 0; found 5"):
        explain(search_folder(tmp_path, 4), "free", 5)
