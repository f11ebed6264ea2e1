"""The comparison at the top of every report: the float model, uniform 8 bits and the plan, line by line."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from qtool.report.format import COST_UNITS, NOTHING, cost, cost_or_number, ratio, share, task

if TYPE_CHECKING:
    from qtool.report.report import BudgetReport, MetricReport, Report

_WORDS = {"weight_bytes": "weights", "peak_memory_bytes": "peak memory"}


@dataclass(frozen=True, slots=True)
class HeadlineRow:
    """One quantity of the float model, of uniform 8 bits and of the plan, as text.

    ``change`` compares the plan with the float model for a metric, with uniform 8 bits for a cost.
    """

    what: str
    before: str
    uniform: str
    after: str
    change: str


def headline(report: Report) -> tuple[HeadlineRow, ...]:
    """Return the task metric, if any, and every cost that the target estimates."""
    return (*_metric_rows(report), *_cost_rows(report))


def metric_word(metric: str) -> str:
    """Return the word for a field of `CostReport`, without its unit."""
    return _WORDS.get(metric, metric.rsplit("_", 1)[0])


def budget_line(budget: BudgetReport) -> str:
    """Return one budget as a sentence."""
    limit, used = (cost_or_number(budget.metric, value) for value in (budget.limit, budget.used))
    state = "met" if budget.met else "NOT met"
    return f"{metric_word(budget.metric)}: {used} of {limit}, {state}"


def precision_counts(report: Report) -> str:
    """Return how many layers run at which precision, such as ``2 x w4a4, 1 x w8a8 (3-bit tables)``."""
    narrow = [layer for layer in report.layers if layer.quantized or layer.weight_bits is not None]
    pairs = Counter((layer.weight_bits, layer.act_bits or 32, layer.index_bits or 0) for layer in narrow)
    words = [
        f"{count} x w{weight}a{act}" + (f" ({index}-bit tables)" if index else "")
        for (weight, act, index), count in sorted(pairs.items(), key=str)
    ]
    floats = len(report.layers) - len(narrow)
    return ", ".join([*words, f"{floats} x float"] if floats else words) or "none"


def coverage_line(report: Report) -> str:
    """Return how much runs on integers, and what of it is only simulated, if any."""
    line = f"{share(report.coverage.macs)} of the MACs on integers"
    simulated = report.coverage.kinds.get("simulated")
    if simulated is None or not simulated.macs:
        return line
    return f"{line}, {share(simulated.macs)} simulated only"


def tight_accumulator(report: Report) -> str:
    """Name the operator whose sums leave the least room, when that is a bit or none; empty otherwise."""
    spare = [(sums.bits_available - sums.bits_needed, sums) for sums in report.accumulators]
    room, tightest = min(spare, key=lambda entry: entry[0], default=(None, None))
    if room is None or tightest is None or room > 1:
        return ""
    return f"{tightest.name} needs {tightest.bits_needed} of {tightest.bits_available} bits"


def _metric_rows(report: Report) -> tuple[HeadlineRow, ...]:
    metric = report.metric
    if metric is None:
        return ()
    forms = ((metric.name, metric.quantized), (f"{metric.name}, packed", metric.packed))
    return tuple(_metric_row(what, metric, after) for what, after in forms if after is not None)


def _metric_row(what: str, metric: MetricReport, after: float) -> HeadlineRow:
    before, name = task(metric.name, metric.float), metric.name
    return HeadlineRow(what, before, NOTHING, task(name, after), _points(metric.float, after, name))


def _points(before: float | None, after: float, name: str) -> str:
    if before is None:
        return NOTHING
    return f"{after - before:+.2f} dB" if name == "sqnr" else f"{100 * (after - before):+.2f} points"


def _cost_rows(report: Report) -> tuple[HeadlineRow, ...]:
    rows = []
    for metric in COST_UNITS:
        uniform, after = getattr(report.cost_8bit, metric), getattr(report.cost, metric)
        if after is not None:
            values = cost(metric, uniform), cost(metric, after), ratio(after, uniform)
            rows.append(HeadlineRow(metric_word(metric), NOTHING, *values))
    return tuple(rows)
