"""Holds a result against its tolerances and its baseline."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtool.check.judge_accuracy import accuracy_cases, agreement_cases, coverage_case
from qtool.check.judge_costs import budget_cases, cost_cases
from qtool.check.tolerances import ANY, LEVELS, OFF
from qtool.check.trial import UPDATE, Trial
from qtool.check.verdict import ERROR, NOTE, WARNING, Case, Finding

if TYPE_CHECKING:
    from collections.abc import Mapping

    from qtool.check.baseline import Known
    from qtool.check.cache import Entry

ABSENT = "-"


def judge(trial: Trial) -> tuple[Case, ...]:
    """Return everything that was checked of a compiled model, in the order of reports.

    What is compared with a baseline is left out where there is none, which the first case then says.
    """
    cases = (
        _baseline_case(trial),
        *accuracy_cases(trial),
        *budget_cases(trial),
        *cost_cases(trial),
        coverage_case(trial),
        *agreement_cases(trial),
        _plan_case(trial),
        _lint_case(trial),
    )
    return tuple(case for case in cases if case is not None)


def rebuild_case(entry: Entry, known: Known | None, again: Mapping[str, str]) -> Case:
    """Compare the files of two compilations, and those of the baseline where it was made from the same.

    Args:
        entry: the first compilation.
        known: the baseline, if there is one.
        again: names and digests of the files of the second.
    """
    expected = [("the first compilation", entry.files)]
    if known is not None and dict(known.inputs) == dict(entry.inputs):
        expected.append(("the baseline", known.files))
    findings = tuple(
        Finding(
            "rebuild",
            ERROR,
            f"{name} is not that of {which}, made from the same inputs; report this as a bug",
        )
        for which, files in expected
        for name in sorted(files.keys() | again.keys())
        if files.get(name) != again.get(name)
    )
    found = f"{len(findings)} differ" if findings else f"{len(again)} files the same"
    return Case("rebuild", ABSENT, found, "byte for byte", findings)


def _baseline_case(trial: Trial) -> Case | None:
    if trial.then is not None:
        return None
    message = f"the baseline does not know this model; {UPDATE}"
    return Case("baseline", ABSENT, "new", "known", (Finding("baseline", ERROR, message),))


def _plan_case(trial: Trial) -> Case | None:
    """Compare the bits of every layer; layers that came or went count as changes."""
    if trial.then is None:
        return None
    before, found = trial.then.layers, trial.now.layers
    names = dict.fromkeys((*before, *found))
    moved = {name: (before.get(name, "absent"), found.get(name, "absent")) for name in names}
    level = NOTE if trial.limits.plan == ANY else ERROR
    findings = tuple(
        Finding("plan", level, f"{old} became {new}; if this is meant, {UPDATE}", name)
        for name, (old, new) in moved.items()
        if old != new
    )
    changed = f"{len(findings)} changed" if findings else "the same"
    return Case("plan", f"{len(before)} layers", changed, trial.limits.plan, findings)


def _lint_case(trial: Trial) -> Case | None:
    """Fail on findings from the level asked for; others are told but do not fail."""
    if trial.limits.lint == OFF:
        return None
    failing = LEVELS[: LEVELS.index(trial.limits.lint) + 1]
    findings = tuple(_lint_finding(entry, failing) for entry in trial.entry.findings)
    counts = [f"{sum(it['severity'] == level for it in trial.entry.findings)} {level}s" for level in LEVELS]
    return Case("lint", ABSENT, ", ".join(counts), f"no {' or '.join(failing)}", findings)


def _lint_finding(entry: Mapping[str, str], failing: tuple[str, ...]) -> Finding:
    mild = NOTE if entry["severity"] == NOTE else WARNING
    level = ERROR if entry["severity"] in failing else mild
    where = f"{entry['file']}, {entry['tensor']}" if entry["tensor"] else entry["file"]
    message = f"{entry['title']}: {entry['message']} ({where}); {entry['fix']}"
    return Finding(entry["code"], level, message, entry["node"])
