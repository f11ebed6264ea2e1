"""Holds the accuracy, the coverage and the agreement of a result against limits and the baseline."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtool.check.facts import FLOAT, FORMS
from qtool.check.tolerances import OFF, points, share
from qtool.check.trial import UPDATE, case_of
from qtool.check.verdict import ERROR, Case, Finding
from qtool.report.format import NOTHING, plain, task
from qtool.report.format import share as percent

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from qtool.check.trial import Trial

_DEFAULT = {"sqnr": "0.5dB"}
_ROUNDING = 1e-9
"""Difference of shares that is no difference."""


def accuracy_cases(trial: Trial) -> Iterator[Case]:
    """Yield what is checked of the metric: against the baseline, against the float model, against a drop."""
    if trial.entry.missed:
        yield case_of("max-drop", (NOTHING, NOTHING, "within"), trial.entry.missed)
    if trial.now.metric:
        yield from _against_baseline(trial)
        yield from _against_float(trial)
    else:
        yield from _unmeasured(trial)


def coverage_case(trial: Trial) -> Case | None:
    """Return whether enough of the multiplications run on integers; findings name the layers that do not."""
    limits, now, then = trial.limits, trial.now, trial.then
    least = share("coverage", limits.coverage)
    if least is None and (limits.coverage == OFF or then is None):
        return None
    allowed = least if least is not None else then.coverage if then is not None else 0.0
    values = percent(then.coverage if then else None), percent(now.coverage), f">= {percent(allowed)}"
    if now.coverage >= allowed - _ROUNDING:
        return Case("coverage", *values)
    message = f"expected {percent(allowed)} of the multiplications on integers, found {percent(now.coverage)}"
    floats = [layer for layer in trial.entry.report["layers"] if not layer["quantized"]]
    lost = tuple(
        _float_finding(layer) for layer in floats if then is None or then.layers.get(layer["name"]) != FLOAT
    )
    return Case("coverage", *values, (Finding("coverage", ERROR, message), *lost))


def agreement_cases(trial: Trial) -> Iterator[Case]:
    """Yield how far Q/DQ model and artifact agree, where both are there."""
    limits, now, then = trial.limits, trial.now, trial.then
    least = share("agreement", limits.agreement)
    if now.agreement is not None and least is not None:
        values = percent(then.agreement if then else None), percent(now.agreement), f">= {limits.agreement}"
        problem = (
            f"expected the same class on {limits.agreement} of the samples, found {percent(now.agreement)}"
        )
        yield case_of("agreement", values, problem if now.agreement < least - _ROUNDING else "")
    if now.lsb is not None:
        steps = plain(then.lsb if then else None), plain(now.lsb), f"<= {limits.lsb}"
        found = f"expected forms at most {limits.lsb} LSB apart, found {plain(now.lsb)}"
        problem = f"{found}; `qtool compare --per-layer` tells where"
        yield case_of("lsb", steps, problem if now.lsb > limits.lsb else "")
    elif then is not None and then.lsb is not None:
        reason = _refusal(trial.entry.report) or "there is only one of them"
        steps = plain(then.lsb), NOTHING, f"<= {limits.lsb}"
        yield case_of("lsb", steps, f"the forms are compared no more: {reason}")


def _unmeasured(trial: Trial) -> Iterator[Case]:
    """Refuse limits on a metric that nobody measured; a limit must not be forgotten without a word."""
    limits, known = trial.limits, trial.then.metric if trial.then else ""
    asked = {"drop": limits.drop, "accuracy": (limits.accuracy or known) if known else ""}
    for name, text in asked.items():
        if text not in ("", OFF):
            problem = "nothing was measured; give the key eval, or turn this tolerance off"
            yield case_of(name, (known or NOTHING, NOTHING, text), problem)


def _against_baseline(trial: Trial) -> Iterator[Case]:
    now, then = trial.now, trial.then
    asked = points("accuracy", trial.limits.accuracy or _DEFAULT.get(now.metric, "0.5%"))
    if then is None or asked is None or not then.metric:
        return
    if then.metric != now.metric:
        problem = f"the baseline is in {then.metric}, the result in {now.metric}; {UPDATE}"
        yield case_of("accuracy", (then.metric, now.metric, then.metric), problem)
        return
    for form in FORMS:
        name = "accuracy" if form == FORMS[0] else f"accuracy-{form}"
        before, found = then.values.get(form), now.values.get(form)
        if before is not None and found is None:
            reason = _refusal(trial.entry.report) or "it was not asked for"
            yield case_of(
                name, (task(now.metric, before), NOTHING, "present"), f"there is no such form: {reason}"
            )
        elif before is not None and found is not None:
            yield _fall(trial, name, (before, found), asked, "baseline")


def _against_float(trial: Trial) -> Iterator[Case]:
    asked, before = points("drop", trial.limits.drop), trial.now.values.get(FLOAT)
    if asked is None:
        return
    if before is None:
        problem = f"{trial.now.metric} compares with the float model already; limit accuracy instead"
        yield case_of("drop", (NOTHING, NOTHING, trial.limits.drop), problem)
        return
    for form in FORMS:
        if form in trial.now.values:
            name = "drop" if form == FORMS[0] else f"drop-{form}"
            yield _fall(trial, name, (before, trial.now.values[form]), asked, "float model")


def _fall(
    trial: Trial, name: str, values: tuple[float, float], asked: tuple[float, str], reference: str
) -> Case:
    """Compare two values of the metric."""
    metric, (before, found), (most, unit) = trial.now.metric, values, asked
    own = "dB" if metric == "sqnr" else "%"
    texts = task(metric, before), task(metric, found), f">= {task(metric, before - most)}"
    if unit != own:
        return case_of(name, texts, f"the limit is in {unit}, and {metric} in {own}; write it in {own}")
    if found >= before - most - _ROUNDING:
        return case_of(name, texts, "")
    fall = f"{before - found:.2f} dB" if own == "dB" else f"{100 * (before - found):.2f} points"
    expected = f"expected {texts[2]}, found {texts[1]}, {fall} below the {reference}"
    return case_of(name, texts, f"{expected}{_hardest(trial.entry.report)}")


def _hardest(report: Mapping[str, object]) -> str:
    """Name the layers of which the allocation expected the most loss."""
    layers = report["layers"]
    losses = {it["name"]: it["loss"] or 0.0 for it in layers} if isinstance(layers, list) else {}
    worst = [name for name in sorted(losses, key=lambda name: -losses[name])[:3] if losses[name] > 0]
    return f"; most loss was expected of {', '.join(worst)}" if worst else ""


def _refusal(report: Mapping[str, object]) -> str:
    """Say why there is no packed artifact."""
    journal = report.get("journal", ())
    lines = journal if isinstance(journal, list) else []
    return next((it["message"] for it in lines if (it["source"], it["subject"]) == ("lower", "packed")), "")


def _float_finding(layer: Mapping[str, object]) -> Finding:
    return Finding("coverage", ERROR, f"stays float: {layer['reason'] or 'by plan'}", str(layer["name"]))
