"""``qtool quantize``: the whole compilation, from a request to files and a report."""

from __future__ import annotations

import resource
import sys
import time
from contextlib import nullcontext
from typing import TYPE_CHECKING

from passes.errors import AccuracyError
from passes.ir.mapped import Mapped
from passes.ir.plan_file import write_plan
from qtool.bundle import bundle
from qtool.compilation import Compilation, compile_request
from qtool.files import write_json
from qtool.lowering import write_forms
from qtool.report import report_json, report_markdown
from qtool.report.folder import PAGE, PROBLEM
from qtool.report.page.compiled import report_html
from qtool.summary import build_report

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from qtool.report import Report
    from qtool.request import QuantizeRequest


def run_quantize(request: QuantizeRequest, tell: Callable[[str, int, int], None]) -> Report:
    """Compile a model and write its folder.

    Args:
        request: what to do.
        tell: called with (stage, done, total) as work proceeds.

    Raises:
        InputError: model, data or pipeline cannot be used.
        InfeasibleError: no plan meets the budgets.
        AccuracyError: ``--max-drop`` cannot be met; files are written all the same.
    """
    start = time.perf_counter()
    with Mapped() if request.segment_bytes else nullcontext() as mapped:
        compilation = compile_request(request, tell, mapped)
        report = build_report(request, compilation, time.perf_counter() - start, peak_rss_bytes())
        write_outputs(request, compilation, report)
    missed = compilation.proof.missed_drop(request.max_drop)
    if missed:
        raise AccuracyError(f"{missed}{_hardest(compilation)}; files are written to {request.out}")
    return report


def _hardest(compilation: Compilation) -> str:
    """Name the layers of which the most loss is expected."""
    losses = {name: layer.loss or 0.0 for name, layer in compilation.model.plan.layers.items()}
    worst = [name for name in sorted(losses, key=lambda name: -losses[name])[:3] if losses[name] > 0]
    return f", most of it expected of {', '.join(worst)}" if worst else ""


def write_outputs(request: QuantizeRequest, compilation: Compilation, report: Report) -> None:
    """Write every file of the folder, all or none."""
    model, target = compilation.model, compilation.ctx.target
    machine = request.target if request.target.endswith(".toml") else target.name
    with bundle(request.out) as staging:
        write_forms(compilation.lowered, request.forms, staging, beside=model.mapped is not None)
        write_plan(model.plan, staging / "plan.json", model.sha256, machine)
        _write(staging / "report.json", report_json(report))
        _write(staging / "report.md", report_markdown(report))
        if compilation.decision is not None:
            write_json(compilation.decision.to_json(), staging / PROBLEM)
        _write(staging / PAGE, report_html(report, compilation.decision))


def peak_rss_bytes() -> int:
    """Return the most memory that this process has held."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _write(path: Path, text: str) -> None:
    path.write_text(text if text.endswith("\n") else text + "\n", encoding="utf-8")
