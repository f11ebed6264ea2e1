"""Writes the files of a search, and lowers the point that was chosen."""

from __future__ import annotations

import glob
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from hwmodels import Precision
from passes.errors import UsageError
from passes.pipeline import to_text
from qtool.bundle import bundle
from qtool.exploration.beacons import trainers
from qtool.exploration.document import front_csv, front_document
from qtool.exploration.plot import write_plot
from qtool.files import write_json, write_text
from qtool.presets import preset
from qtool.quantization import run_quantize
from qtool.report.folder import PROBLEM, write_page

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from qtool.exploration.request import SearchRequest
    from qtool.exploration.run import SearchRun


def write_search(request: SearchRequest, run: SearchRun) -> tuple[dict[str, Any], str]:
    """Write front.json, front.csv, problem.json, report.html and, where it can be drawn, front.svg.

    Returns:
        The document, and why there is no picture or nothing.
    """
    out, document = request.base.out, front_document(request, run)
    with bundle(out) as staging:
        write_json(document, staging / "front.json")
        write_json(run.task.problem.to_json(), staging / PROBLEM)
        write_text(front_csv(document), staging / "front.csv")
        write_page(staging)
        return document, write_plot(run, staging / "front.svg")


def lower_point(
    request: SearchRequest, document: dict[str, Any], tell: Callable[[str, int, int], None]
) -> Path | None:
    """Compile the point that was chosen as ``qtool quantize`` would, every layer pinned to its widths.

    Returns:
        The folder with its files, inside that of the search; ``None`` when no point was chosen.

    Raises:
        UsageError: there is no such point.
    """
    index = document["knee"] if request.knee else request.select
    if index is None and not request.knee:
        return None
    front = document["front"]
    if index is None or not 0 <= index < len(front):
        raise UsageError(f"--select: the front has {len(front)} points, counted from 0; found {index}")
    pins = tuple(
        (glob.escape(layer["name"]), Precision(layer["weight_bits"], layer["act_bits"]))
        for layer in front[index]["layers"]
    )
    folder: Path = request.base.out / f"point-{index}"
    point = replace(request.base, pins=pins, budgets=(), out=folder, force=True)
    if request.train is not None:
        text = to_text((*preset(point), *trainers(request)))
        point = replace(point, train=request.train, pipeline=text)
    run_quantize(point, tell)
    return folder
