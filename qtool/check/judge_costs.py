"""Holds the costs of a result against budgets, limits and the baseline."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hwmodels import Metric
from passes.allocation.quantities import METRICS, word_of
from qtool.check.tolerances import limit
from qtool.check.trial import UPDATE, case_of
from qtool.report.format import NOTHING, cost

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from qtool.check.tolerances import Limit
    from qtool.check.trial import Trial
    from qtool.check.verdict import Case

_SLACK = 1e-9
"""Relative rounding that no limit is about."""


def budget_cases(trial: Trial) -> Iterator[Case]:
    """Yield the budgets that the model was compiled for."""
    for budget in trial.entry.report["budgets"]:
        field = budget["metric"]
        used, allowed = cost(field, budget["used"]), cost(field, budget["limit"])
        problem = "" if budget["met"] else f"expected at most {allowed}, found {used}; widen the budget"
        yield case_of(f"budget-{word_of(Metric(field))}", (NOTHING, used, f"<= {allowed}"), problem)


def cost_cases(trial: Trial) -> Iterator[Case]:
    """Yield a case for every cost with a limit that the target estimates."""
    for word, metric in METRICS.items():
        asked = limit(metric, getattr(trial.limits, word))
        if asked is not None:
            case = _cost_case(trial, word, metric.value, asked)
            if case is not None:
                yield case


def _cost_case(trial: Trial, word: str, field: str, asked: Limit) -> Case | None:
    found, most = trial.now.cost.get(field), _most(trial, field, asked)
    before = None if trial.then is None else trial.then.cost.get(field)
    if found is None:
        # A limit that was written down, or a value that was known, must not be forgotten without a word.
        if asked.of == "baseline" and before is None:
            return None
        missing = f"a limit of {asked.text}, but the target does not estimate it; leave the limit out"
        return case_of(word, (cost(field, before), NOTHING, asked.text), missing)
    if most is None:
        return None
    values = cost(field, before), cost(field, found), f"<= {cost(field, most)}"
    problem = "" if found <= most * (1 + _SLACK) else _problem(trial, values, asked)
    return case_of(word, values, problem)


def _most(trial: Trial, field: str, asked: Limit) -> float | None:
    """Return the largest value that is allowed; ``None`` where there is nothing to compare with."""
    if asked.of == "absolute":
        return asked.value
    known = trial.now.cost_8bit if asked.of == "uniform" else (trial.then.cost if trial.then else {})
    return asked.value * known[field] if field in known else None


def _problem(trial: Trial, values: tuple[str, str, str], asked: Limit) -> str:
    before, found, most = values
    bases = {"absolute": "", "uniform": f" ({asked.text} of uniform 8 bits)"}
    base = bases.get(asked.of, f" ({asked.text} over {before} of the baseline)")
    wider = [] if trial.then is None else _moved(trial.then.layers, trial.now.layers)
    layers = f"; layers with other bits: {', '.join(wider[:3])}" if wider else ""
    advice = UPDATE if asked.of == "baseline" else "set a budget, or change the limit"
    return f"expected {most}{base}, found {found}{layers}; {advice}"


def _moved(before: Mapping[str, str], found: Mapping[str, str]) -> list[str]:
    return [
        f"{name} {before.get(name, 'absent')} -> {bits}"
        for name, bits in found.items()
        if before.get(name) != bits
    ]
