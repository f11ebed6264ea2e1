"""Fills the tables of docs/search.md on the cost of measuring, and on held-out samples.

    python benchmarks/evaluation_page.py

Reads benchmarks/results/evaluation.json and held_out.json.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from between_marks import fill

ROOT = Path(__file__).resolve().parent.parent
PAGE, RESULTS = ROOT / "docs" / "search.md", ROOT / "benchmarks" / "results"
Row = dict[str, Any]


def main() -> None:
    """Write what there are results of."""
    evaluation = json.loads((RESULTS / "evaluation.json").read_text())
    fill(PAGE, costs(evaluation), "evaluation")
    fill(PAGE, walks(evaluation["amp"]["runs"] | evaluation["sweep"]["runs"]), "amp")
    fill(PAGE, held_out(json.loads((RESULTS / "held_out.json").read_text())), "held-out")


def costs(found: Row) -> str:
    """Return what plans cost, with the bars beside it."""
    one, many = found["one"], found["many"]
    low, high = one["least_and_most"]
    first, *_, last = many["resident_bytes"]
    early = many["plans"] // len(many["resident_bytes"])
    lines = [
        "| what | measured | bar |",
        "|---|---|---|",
        f"| a plan of MobileNetV2 on {one['samples']} images, lowering and session included "
        f"| {one['plan_in_passes']:.2f} passes ({low:.2f} to {high:.2f}) | at most 1.0, aim 0.6 |",
        f"| its weights rounded to 2 to 8 bits, once for all | {one['built_once_in_passes']:.0f} passes | |",
        f"| {many['plans']} plans of ResNet-20 on {many['samples']} images, everything built included "
        f"| {many['passes']:.0f} passes | at most {1.2 * many['plans']:,.0f} |",
        f"| memory from plan {early} to plan {many['plans']} "
        f"| {last / first - 1:+.1%} of {first / 1e6:.0f} MB | flat |",
    ]
    if "workers" in found:
        speed_up = found["workers"]["speed_up"]
        lines.append(f"| two local workers against one, ResNet-20 | {speed_up:.2f}x | at least 1.6x |")
    return "\n".join(lines)


def walks(runs: Row) -> str:
    """Return what AIMET's walk and sweeps cost and reach."""
    shares = list(next(iter(runs.values()))["held_out_within_share"])
    lines = [
        f"| solver | plans | passes | hypervolume | {' | '.join(f'at {share}' for share in shares)} |",
        f"|---|---|---|---|{'---|' * len(shares)}",
    ]
    for name, row in runs.items():
        top1 = [percent(row["held_out_within_share"][share]) for share in shares]
        cells = [name, str(row["plans"]), f"{row['passes']:.0f}", f"{row['hypervolume']:.3f}", *top1]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def held_out(found: Row) -> str:
    """Return accuracies and differences to the sweep, a line per problem, solver and share."""
    lines = ["| problem | solver | share | top-1, by seed | against the sweep |", "|---|---|---|---|---|"]
    for problem, entry in found.items():
        for solver, shares in entry["solvers"].items():
            for share, row in shares.items():
                top1 = ", ".join(percent(value) for value in row["top1"])
                gap = f"{100 * row['difference']:+.1f} ± {100 * row['half_interval']:.1f}"
                gap = "" if solver == "sweep" else gap
                lines.append(f"| {problem} | `{solver}` | {share} | {top1} | {gap} |")
    return "\n".join(lines)


def percent(value: float | None) -> str:
    """Return an accuracy in percent; a dash where there is no plan."""
    return "-" if value is None else f"{100 * value:.1f}"


if __name__ == "__main__":
    main()
