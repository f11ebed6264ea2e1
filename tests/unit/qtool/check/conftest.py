"""A model, its result and its baseline, made by hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from qtool.check.cache import Entry
from qtool.check.config import ModelConfig, Options
from qtool.check.facts import Facts
from qtool.check.tolerances import Tolerances
from qtool.check.trial import Trial
from qtool.check.verdict import Case, CheckRun, Finding, Verdict

REPORT: dict[str, Any] = {
    "metric": {"name": "top1", "samples": 100, "float": 0.9, "quantized": 0.89, "packed": 0.89},
    "cost": {"latency_s": 1e-3, "energy_j": None, "weight_bytes": 1000.0},
    "cost_8bit": {"latency_s": 2e-3, "energy_j": None, "weight_bytes": 2000.0},
    "budgets": [{"metric": "weight_bytes", "limit": 1200.0, "used": 1000.0, "met": True}],
    "coverage": {"macs": 0.98, "weight_bytes": 0.9},
    "agreement": {"top1_agreement": 0.995, "qdq_vs_packed_max_lsb": 1.0, "top1_vs_float": None},
    "journal": [{"source": "lower", "subject": "packed", "message": "Erf has no integer form"}],
    "layers": [
        {"name": "conv", "weight_bits": 4, "act_bits": 8, "loss": 0.5, "quantized": True, "reason": None},
        {"name": "wide", "weight_bits": 8, "act_bits": None, "loss": 0.1, "quantized": False, "reason": None},
        {
            "name": "head",
            "weight_bits": None,
            "act_bits": None,
            "loss": None,
            "quantized": False,
            "reason": "odd",
        },
    ],
}


Make = Callable[..., Any]


@pytest.fixture(scope="session")
def entry_of() -> Make:
    """Make a result; changes are of the report, ``findings`` and ``missed`` of the entry."""

    def make(**changes: Any) -> Entry:
        findings, missed = changes.pop("findings", ()), changes.pop("missed", "")
        merged = {
            key: REPORT[key] | value if isinstance(value, dict) else value for key, value in changes.items()
        }
        return Entry(Path("kept"), {"model": "1"}, {"model.qpk": "aa"}, REPORT | merged, findings, missed)

    return make


@pytest.fixture(scope="session")
def trial_of(entry_of: Make) -> Make:
    """Make a result against a baseline: that without changes, that with other fields of `Facts`, or none."""

    def make(limits: dict[str, Any] | None = None, then: Any = "same", **changes: Any) -> Trial:
        entry, before = entry_of(**changes), Facts.of_report(REPORT)
        known = None if then is None else before if then == "same" else replace(before, **then)
        return Trial(Tolerances(**limits or {}), entry, Facts.of_report(entry.report), known)

    return make


@pytest.fixture(scope="session")
def verdict_of() -> Make:
    """Make a verdict with one check that failed and one that did not."""

    def make(**changes: Any) -> Verdict:
        model = ModelConfig("net", 7, Path("models/my net.onnx"), Options(target="generic"), Tolerances())
        moved = Finding("plan", "error", "w4a8 became w8a8", "conv|1"), Finding("plan", "note", "by the way")
        cases = (
            Case("accuracy", "89 %", "89 %", ">= 88 %"),
            Case("plan", "2 layers", "1 changed", "same", moved),
        )
        facts = Facts.of_report(REPORT)
        fields = {"model": model, "cases": cases, "facts": facts, "known": facts, "seconds": 1.25}
        return Verdict(**fields | changes)

    return make


@pytest.fixture
def run(verdict_of: Make) -> CheckRun:
    """A check of a model outside its tolerances, of one that does not compile, and of one that is fine."""
    bad, fine = verdict_of(), verdict_of(cases=verdict_of().cases[:1], cached=True)
    broken = verdict_of(cases=(), facts=None, known=None, error="no \x00 such <file>", code=3)
    others = [
        replace(it, model=replace(it.model, name=name)) for name, it in (("broken", broken), ("fine", fine))
    ]
    return CheckRun(Path("ci/qtool.toml"), (bad, *others))
