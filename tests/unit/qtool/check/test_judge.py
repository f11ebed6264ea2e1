"""Every check, just within its limit and just outside."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from qtool.check.baseline import Known
from qtool.check.judge import judge, rebuild_case
from qtool.check.trial import Trial

Make = Callable[..., dict[str, Any]]


@pytest.fixture
def verdicts(trial_of: Callable[..., Trial]) -> Make:
    """Judge a result; the cases by name."""
    return lambda **asked: {case.name: case for case in judge(trial_of(**asked))}


@pytest.fixture
def failed(verdicts: Make) -> Make:
    """Judge a result; the first message of every case that failed."""
    return lambda **asked: {
        name: case.errors[0].message for name, case in verdicts(**asked).items() if not case.ok
    }


def test_the_same_result_is_within_every_tolerance(verdicts: Make) -> None:
    cases = verdicts()
    assert all(case.ok for case in cases.values())
    assert list(cases) == [
        *("accuracy", "accuracy-packed", "budget-size", "latency", "size"),
        *("coverage", "agreement", "lsb", "plan", "lint"),
    ]


@pytest.mark.parametrize(
    ("asked", "names"),
    [
        ({"metric": {"quantized": 0.885}}, []),
        ({"metric": {"quantized": 0.884}}, ["accuracy"]),
        ({"metric": {"packed": 0.884}}, ["accuracy-packed"]),
        ({"limits": {"accuracy": "1%"}, "metric": {"quantized": 0.884}}, []),
        ({"limits": {"accuracy": "off"}, "metric": {"quantized": 0.1}}, []),
        ({"metric": {"packed": None}}, ["accuracy-packed"]),
        ({"metric": {"name": "cosine"}}, ["accuracy"]),
        ({"limits": {"drop": "1%"}}, []),
        ({"limits": {"drop": "0.9%"}}, ["drop", "drop-packed"]),
        ({"limits": {"drop": "1dB"}}, ["drop", "drop-packed"]),
        ({"limits": {"drop": "1%"}, "metric": None}, ["drop", "accuracy"]),
        ({"limits": {"accuracy": "off"}, "metric": None}, []),
        ({"limits": {"accuracy": "1%"}, "metric": None, "then": None}, ["baseline"]),
        ({"missed": "too far"}, ["max-drop"]),
    ],
)
def test_accuracy(failed: Make, asked: dict[str, Any], names: list[str]) -> None:
    assert list(failed(**asked)) == names


def test_signal_to_noise_counts_in_decibels(failed: Make) -> None:
    then = {"metric": "sqnr", "values": {"quantized": 30.0}}
    sqnr = {"name": "sqnr", "float": None, "packed": None}
    assert not failed(then=then, metric=sqnr | {"quantized": 29.6})
    found = failed(then=then, metric=sqnr | {"quantized": 29.4})
    assert found["accuracy"].startswith("expected >= 29.5 dB, found 29.4 dB, 0.60 dB below the baseline")
    percent = failed(then=then, limits={"accuracy": "1%"}, metric=sqnr | {"quantized": 30.0})
    assert "write it in dB" in percent["accuracy"]


def test_a_loss_names_the_layers_it_was_expected_of(failed: Make) -> None:
    assert failed(metric={"quantized": 0.5})["accuracy"].endswith("most loss was expected of conv, wide")


@pytest.mark.parametrize(
    ("asked", "names"),
    [
        ({"cost": {"latency_s": 1.01e-3}}, []),
        ({"cost": {"latency_s": 1.011e-3}}, ["latency"]),
        ({"cost": {"weight_bytes": 1100.0}}, ["size"]),
        ({"limits": {"size": "10%"}, "cost": {"weight_bytes": 1100.0}}, []),
        ({"limits": {"size": "1kB"}}, []),
        ({"limits": {"size": "999B"}}, ["size"]),
        ({"limits": {"size": "0.5x"}}, []),
        ({"limits": {"size": "0.49x"}}, ["size"]),
        ({"limits": {"size": "off"}, "cost": {"weight_bytes": 9e9}}, []),
        ({"limits": {"energy": "1mJ"}}, ["energy"]),
        ({"limits": {"energy": "5%"}}, []),
        ({"cost": {"latency_s": None}}, ["latency"]),
        ({"then": {"cost": {}}, "cost": {"latency_s": 9.0}}, []),
    ],
)
def test_costs(failed: Make, asked: dict[str, Any], names: list[str]) -> None:
    assert list(failed(**asked)) == names


def test_a_cost_that_rose_names_the_layers_that_changed(failed: Make) -> None:
    then = {"layers": {"conv": "w2a8", "wide": "w8a32", "head": "float"}}
    found = failed(then=then, cost={"weight_bytes": 2000.0})
    assert found["size"].startswith("expected <= 1.01 kB (1% over 1 kB of the baseline), found 2 kB")
    assert "conv w2a8 -> w4a8" in found["size"]


def test_a_budget_that_is_not_met(failed: Make) -> None:
    budgets = [{"metric": "latency_s", "limit": 1e-3, "used": 2e-3, "met": False}]
    assert failed(budgets=budgets) == {
        "budget-latency": "expected at most 1 ms, found 2 ms; widen the budget"
    }


def test_coverage_names_the_layers_that_stay_float(verdicts: Make) -> None:
    then = {"coverage": 1.0, "layers": {"conv": "w4a8", "wide": "w8a8", "head": "float"}}
    case = verdicts(then=then)["coverage"]
    assert [(it.layer, it.level) for it in case.findings] == [("", "error"), ("wide", "error")]
    assert verdicts(limits={"coverage": "98%"}, then=then)["coverage"].ok
    assert not verdicts(limits={"coverage": "98.1%"}, then=None)["coverage"].ok
    assert "coverage" not in verdicts(limits={"coverage": "off"}, then=then)


@pytest.mark.parametrize(
    ("limits", "names"),
    [
        ({"agreement": "99.6%"}, ["agreement"]),
        ({"agreement": "99.5%"}, []),
        ({"lsb": 0}, ["lsb"]),
        ({"agreement": "off", "lsb": 1}, []),
    ],
)
def test_agreement(failed: Make, limits: dict[str, Any], names: list[str]) -> None:
    assert list(failed(limits=limits)) == names


def test_forms_that_were_not_compared_are_not_judged(verdicts: Make) -> None:
    then = {"agreement": None, "lsb": None}
    assert not {"agreement", "lsb"} & verdicts(then=then, agreement=None).keys()


def test_an_artifact_that_is_gone_is_missed(failed: Make) -> None:
    assert failed(agreement=None) == {
        "lsb": "the forms are compared no more: Erf has no integer form",
    }


def test_a_plan_may_change_where_it_is_said(verdicts: Make) -> None:
    then = {"layers": {"conv": "w4a8", "gone": "w8a8", "head": "float"}}
    case = verdicts(then=then)["plan"]
    assert {it.layer: it.message.partition(";")[0] for it in case.errors} == {
        "gone": "w8a8 became absent",
        "wide": "absent became w8a32",
    }
    free = verdicts(then=then, limits={"plan": "any"})["plan"]
    assert free.ok
    assert [it.level for it in free.findings] == ["note", "note"]


def lint(severity: str) -> dict[str, str]:
    texts = {"title": "t", "message": "m", "fix": "f", "file": "model.qdq.onnx", "tensor": ""}
    return {"code": "QT101", "severity": severity, "node": "conv", **texts}


@pytest.mark.parametrize(("level", "failing"), [("error", 1), ("warning", 2), ("note", 3)])
def test_lint_fails_from_a_level(verdicts: Make, level: str, failing: int) -> None:
    findings = tuple(lint(severity) for severity in ("error", "warning", "note"))
    case = verdicts(findings=findings, limits={"lint": level})["lint"]
    assert len(case.errors) == failing
    assert [(it.rule, it.layer) for it in case.findings] == [("QT101", "conv")] * 3
    assert case.found == "1 errors, 1 warnings, 1 notes"
    assert "lint" not in verdicts(findings=findings, limits={"lint": "off"})


def test_without_a_baseline_that_is_what_is_wrong(failed: Make) -> None:
    assert list(failed(then=None)) == ["baseline"]


def test_a_rebuild_is_compared_with_the_baseline_of_the_same_inputs(trial_of: Callable[..., Trial]) -> None:
    trial = trial_of()
    facts, entry = trial.now, trial.entry
    same, other = (Known(facts, {"model": text}, {"model.qpk": "bb"}) for text in ("1", "2"))
    assert rebuild_case(entry, None, {"model.qpk": "aa"}).ok
    assert rebuild_case(entry, other, {"model.qpk": "aa"}).ok
    assert len(rebuild_case(entry, same, {"model.qpk": "aa"}).errors) == 1
    assert len(rebuild_case(entry, None, {"model.qpk": "cc", "model.qdq.onnx": "dd"}).errors) == 2
