"""What lies in an output folder: read back, checked, and told as a page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hwmodels import FLOAT
from passes.allocation.decision import Decision
from passes.allocation.problem import AllocationProblem
from passes.errors import ReportError
from qtool.files import write_text
from qtool.report.page.compiled import report_html
from qtool.report.page.searched import search_html
from qtool.report.read import read_document
from qtool.report.report import Report
from qtool.report.search import SearchReport

if TYPE_CHECKING:
    from pathlib import Path

REPORT, FRONT, PROBLEM, PAGE = "report.json", "front.json", "problem.json", "report.html"


@dataclass(frozen=True, slots=True)
class Compiled:
    """The folder of ``qtool quantize``: its report, and what the allocation chose from, if anything."""

    report: Report
    decision: Decision | None


@dataclass(frozen=True, slots=True)
class Searched:
    """The folder of ``qtool search``: its front, and what it chose from."""

    search: SearchReport
    problem: AllocationProblem | None


def open_folder(folder: Path) -> Compiled | Searched:
    """Read the documents of a folder.

    A problem.json whose plan is not that of the report was left by an earlier run, and is passed over.

    Raises:
        ReportError: the folder holds no results, or a document of it is damaged.
        ProblemError: problem.json is damaged.
    """
    if (folder / REPORT).is_file():
        return open_compiled(folder)
    if not (folder / FRONT).is_file():
        raise ReportError(
            f"{folder}: expected the folder of a run, found neither {REPORT} nor {FRONT}; "
            "name the -o of qtool quantize or qtool search"
        )
    search = read_document(SearchReport, folder / FRONT)
    problem = folder / PROBLEM
    return Searched(search, AllocationProblem.load(problem) if problem.is_file() else None)


def open_compiled(folder: Path) -> Compiled:
    """Read the documents of a folder that ``qtool quantize`` has written; errors as for `open_folder`."""
    if not (folder / REPORT).is_file():
        hint = "; name one of its point-N folders" if (folder / FRONT).is_file() else ""
        raise ReportError(f"{folder}: expected the folder of qtool quantize, found no {REPORT}{hint}")
    report = read_document(Report, folder / REPORT)
    file = folder / PROBLEM
    decision = Decision.load(file) if file.is_file() else None
    return Compiled(report, decision if decision is not None and _made(report, decision) else None)


def plan_pairs(report: Report) -> dict[str, tuple[int, int]]:
    """Return ``(weight_bits, act_bits)`` by layer; floats have those of `hwmodels.FLOAT`."""
    wide = FLOAT.weight_bits
    return {layer.name: (layer.weight_bits or wide, layer.act_bits or wide) for layer in report.layers}


def _made(report: Report, decision: Decision) -> bool:
    """Tell whether a decision led to the plan of a report; layers that it does not know have to be floats."""
    floats = (FLOAT.weight_bits, FLOAT.act_bits)
    plan, chosen = plan_pairs(report), decision.pairs
    return chosen.keys() <= plan.keys() and all(
        pair == chosen.get(name, floats) for name, pair in plan.items()
    )


def page_of(found: Compiled | Searched) -> str:
    """Return the text of report.html of a folder."""
    if isinstance(found, Compiled):
        return report_html(found.report, found.decision)
    return search_html(found.search, found.problem)


def write_page(folder: Path) -> Path:
    """Make report.html of a folder again, from its documents; equal documents give equal bytes.

    Raises:
        ReportError: the folder holds no results, or a document of it is damaged.
        ProblemError: problem.json is damaged.
    """
    write_text(page_of(open_folder(folder)), folder / PAGE)
    return folder / PAGE
