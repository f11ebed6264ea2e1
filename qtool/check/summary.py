"""What a check found, in Markdown for pull requests and as rows for the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtool.check.facts import FORMS
from qtool.report.format import COST_UNITS, NOTHING, cost, ratio, task
from qtool.report.headline import metric_word
from qtool.report.markdown import markdown_table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from qtool.check.verdict import CheckRun, Finding, Verdict

SHOWN = 10
"""Findings of one check that people are shown; SARIF has them all."""
OK, FAILED, UNUSABLE = "ok", "FAILED", "ERROR"


def summary_markdown(run: CheckRun) -> str:
    """Return the text: a table of all models, then what was checked of each."""
    rows = overview(run)
    table = markdown_table(list(rows[0]), [list(row.values()) for row in rows])
    title = f"# qtool check: {verdict_line(run)}"
    return "\n\n".join([title, table, *(_section(verdict) for verdict in run.verdicts)]) + "\n"


def overview(run: CheckRun) -> list[dict[str, str]]:
    """Return a row per model: its state, the metric, the costs and how they moved."""
    rows = [_row(verdict) for verdict in run.verdicts]
    keys = dict.fromkeys(key for row in rows for key in row)
    return [{key: row.get(key, NOTHING) for key in keys} for row in rows]


def problems(verdict: Verdict) -> Iterator[str]:
    """Yield what fails, a line each, after the first `SHOWN` of a check how many more there are."""
    if verdict.error:
        yield f"{verdict.model.name}: {verdict.error}"
    for case in verdict.cases:
        for finding in case.errors[:SHOWN]:
            yield f"{verdict.model.name}, {case.name}: {_line(finding)}"
        if len(case.errors) > SHOWN:
            yield f"{verdict.model.name}, {case.name}: and {len(case.errors) - SHOWN} more"


def verdict_line(run: CheckRun) -> str:
    """Return the outcome in a few words."""
    bad = [verdict.model.name for verdict in run.verdicts if not verdict.ok]
    count = f"{len(run.verdicts)} model" + ("s" if len(run.verdicts) > 1 else "")
    return f"{len(bad)} of {count} not as promised: {', '.join(bad)}" if bad else f"{count} ok"


def _row(verdict: Verdict) -> dict[str, str]:
    row = {"model": verdict.model.name, "state": _state(verdict)}
    now, then = verdict.facts, verdict.known
    if now is not None:
        value = now.values.get(FORMS[0])
        if now.metric:
            before = then.values.get(FORMS[0]) if then and then.metric == now.metric else None
            row["metric"] = f"{now.metric} {task(now.metric, value)}{_moved(now.metric, before, value)}"
        for field in COST_UNITS:
            if field in now.cost:
                was = then.cost.get(field) if then else None
                moved = f" ({ratio(now.cost[field], was)})" if was else ""
                row[metric_word(field)] = f"{cost(field, now.cost[field])}{moved}"
    row["result"] = "kept" if verdict.cached else f"{verdict.seconds:.1f} s"
    return row


def _moved(metric: str, before: float | None, value: float | None) -> str:
    if before is None or value is None:
        return ""
    return f" ({value - before:+.2f})" if metric == "sqnr" else f" ({100 * (value - before):+.2f})"


def _state(verdict: Verdict) -> str:
    if verdict.error:
        return UNUSABLE
    return OK if verdict.ok else FAILED


def _section(verdict: Verdict) -> str:
    title = f"## {verdict.model.name}: {_state(verdict)}"
    if verdict.error:
        return f"{title}\n\n{_one_line(verdict.error)}"
    rows = [(c.name, c.before, c.found, c.allowed, OK if c.ok else FAILED) for c in verdict.cases]
    parts = [title, markdown_table(("check", "baseline", "now", "allowed", ""), rows)]
    if verdict.changed:
        parts.append(f"Not as they were at the baseline: {', '.join(verdict.changed)}.")
    lines = [f"- {_one_line(line.partition(', ')[2])}" for line in problems(verdict)]
    return "\n\n".join([*parts, *(["\n".join(lines)] if lines else [])])


def _one_line(text: str) -> str:
    """Names in a model may hold anything; a line break would end the list."""
    return " ".join(text.split())


def _line(finding: Finding) -> str:
    return f"{finding.layer}: {finding.message}" if finding.layer else finding.message
