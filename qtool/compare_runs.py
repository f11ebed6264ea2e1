"""``qtool compare-runs``: what changed between output folders: results, costs, bits, circumstances."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hwmodels import FLOAT
from passes.errors import UsageError
from qtool.report.folder import open_compiled, plan_pairs
from qtool.report.format import COST_UNITS, NOTHING, SHARES, cost, cost_or_number, plain, ratio, share, task
from qtool.report.headline import metric_word

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from qtool.report.report import Report


@dataclass(frozen=True, slots=True)
class Compared:
    """One quantity of every run; ``change`` compares the last run with the first, as text."""

    what: str
    values: tuple[str, ...]
    change: str


@dataclass(frozen=True, slots=True)
class RunsReport:
    """What changed between runs.

    Attributes:
        runs: folders, the first being what the others are compared with.
        results: metrics and costs.
        layers: bits of the layers that do not have the same in all runs; a layer that a run does not have
            is ``-``.
        equal_layers: how many layers have the same bits in all.
        circumstances: request, versions and passes, where they are not the same in all.
    """

    runs: tuple[str, ...]
    results: tuple[Compared, ...]
    layers: tuple[Compared, ...]
    equal_layers: int
    circumstances: tuple[Compared, ...]

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "runs": list(self.runs),
            "results": [_row(entry) for entry in self.results],
            "layers": [_row(entry) for entry in self.layers],
            "equal_layers": self.equal_layers,
            "circumstances": [_row(entry) for entry in self.circumstances],
        }

    def _repr_html_(self) -> str:
        from qtool.report.runs import runs_notebook

        return runs_notebook(self)


def _row(entry: Compared) -> dict[str, Any]:
    return {"what": entry.what, "values": list(entry.values), "change": entry.change}


def compare_runs(folders: Sequence[Path]) -> RunsReport:
    """Compare folders of ``qtool quantize``.

    Args:
        folders: two or more.

    Raises:
        UsageError: fewer than two folders.
        ReportError: a folder holds no report, or a damaged one.
        ProblemError: its problem.json is damaged.
    """
    if len(folders) < 2:
        raise UsageError(f"expected two folders or more to compare, found {len(folders)}")
    reports = [open_compiled(folder).report for folder in folders]
    layers, equal = _layers(reports)
    return RunsReport(
        tuple(str(folder) for folder in folders),
        (*_metrics(reports), *_costs(reports), *_shares(reports)),
        layers,
        equal,
        _circumstances(reports),
    )


def _metrics(reports: Sequence[Report]) -> list[Compared]:
    names = [report.metric.name for report in reports if report.metric]
    rows = []
    for name in dict.fromkeys(names):
        for form, word in (("float", ", float"), ("quantized", ""), ("packed", ", packed")):
            found = [
                getattr(report.metric, form) if report.metric and report.metric.name == name else None
                for report in reports
            ]
            if any(value is not None for value in found):
                values = tuple(task(name, value) for value in found)
                rows.append(Compared(f"{name}{word}", values, _points(name, found)))
    return rows


def _points(name: str, found: Sequence[float | None]) -> str:
    first, last = found[0], found[-1]
    if first is None or last is None:
        return NOTHING
    if name in SHARES:
        return f"{100 * (last - first):+.2f} points"
    return f"{last - first:+.4g}"


def _costs(reports: Sequence[Report]) -> list[Compared]:
    rows = []
    for metric in COST_UNITS:
        found = [getattr(report.cost, metric) for report in reports]
        if any(value is not None for value in found):
            values = tuple(cost(metric, value) for value in found)
            rows.append(Compared(metric_word(metric), values, ratio(found[-1], found[0])))
    return rows


def _shares(reports: Sequence[Report]) -> list[Compared]:
    apart = [report.agreement.qdq_vs_packed_max_lsb if report.agreement else None for report in reports]
    coverage = tuple(share(report.coverage.macs) for report in reports)
    steps = Compared("QDQ and packed apart, in steps", tuple(plain(value) for value in apart), NOTHING)
    return [Compared("MACs on integers", coverage, NOTHING), steps]


def _layers(reports: Sequence[Report]) -> tuple[tuple[Compared, ...], int]:
    plans = [plan_pairs(report) for report in reports]
    rows, equal = [], 0
    for name in dict.fromkeys(name for plan in plans for name in plan):
        pairs = [plan.get(name) for plan in plans]
        if len(set(pairs)) == 1:
            equal += 1
        else:
            rows.append(Compared(name, tuple(_pair(pair) for pair in pairs), _bits(pairs[0], pairs[-1])))
    return tuple(rows), equal


def _pair(pair: tuple[int, int] | None) -> str:
    if pair is None:
        return NOTHING
    return "float" if pair == (FLOAT.weight_bits, FLOAT.act_bits) else f"w{pair[0]}a{pair[1]}"


def _bits(first: tuple[int, int] | None, last: tuple[int, int] | None) -> str:
    """Return the change of bits on either side, such as ``w+4 a-2``."""
    if first is None or last is None:
        return NOTHING
    sides = zip("wa", first, last, strict=True)
    changes = [f"{side}{b - a:+d}" for side, a, b in sides if a != b]
    return " ".join(changes) or NOTHING


def _limits(report: Report) -> str:
    limits = (f"{metric_word(it.metric)} {cost_or_number(it.metric, it.limit)}" for it in report.budgets)
    return ", ".join(limits) or NOTHING


_CIRCUMSTANCES: dict[str, Callable[[Report], str]] = {
    "model": lambda report: report.model.path,
    "sha256 of the model": lambda report: report.model.sha256,
    "target": lambda report: report.target,
    "solver": lambda report: report.solver,
    "seed": lambda report: str(report.seed),
    "samples": lambda report: str(report.metric.samples) if report.metric else NOTHING,
    "budgets": _limits,
    "pipeline": lambda report: report.pipeline or NOTHING,
    "qtool": lambda report: report.qtool,
}


def _circumstances(reports: Sequence[Report]) -> tuple[Compared, ...]:
    readers = dict(_CIRCUMSTANCES)
    for name in dict.fromkeys(name for report in reports for name in report.versions):
        readers[name] = lambda report, name=name: report.versions.get(name, NOTHING)  # type: ignore[misc]
    rows = [
        Compared(what, tuple(read(report) for report in reports), NOTHING) for what, read in readers.items()
    ]
    return tuple(row for row in rows if len(set(row.values)) > 1)
