"""Fills in the table of docs/half_precision.md from benchmarks/results/half_training.json.

python benchmarks/half_training_page.py
"""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from statistics import fmean
from typing import Any

from between_marks import fill

EXACT = "float32"
ROOT = Path(__file__).resolve().parents[1]
HEAD = (
    "| run | seeds | top-1 | below float32, points, by seed | mean | loss, last 20 steps "
    "| weight gradients lost to 0 | steps skipped | processor time |\n"
    "|---|---|---|---|---|---|---|---|---|"
)


def main() -> None:
    """Write the table between its marks."""
    found = json.loads((ROOT / "benchmarks" / "results" / "half_training.json").read_text())["entries"]
    runs: dict[tuple[str, str], dict[str, Any]] = defaultdict(dict)
    for key, entry in found.items():
        run, rest = key.split(", seed ")
        seed, steps = rest.split(", ")
        runs[run, steps][seed] = entry
    rows = [_row(run, steps, entries, runs) for (run, steps), entries in runs.items()]
    fill(ROOT / "docs" / "half_precision.md", "\n".join([HEAD, *rows]))


def _row(run: str, steps: str, entries: dict[str, Any], runs: dict[tuple[str, str], dict[str, Any]]) -> str:
    """Return the mean over the seeds, and what each is below training in float32 with the same seed."""
    exact = runs[", ".join([*run.split(", ")[:2], EXACT]), steps]
    mean = {
        key: fmean(float(it[key]) for it in entries.values()) for key in ("top1", "loss", "lost", "cpu_s")
    }
    drops = [100 * (exact[seed]["top1"] - it["top1"]) for seed, it in entries.items()]
    half = not run.endswith(EXACT)
    cells = [
        f"{run}, {steps}",
        ", ".join(entries),
        f"{mean['top1']:.2%}",
        ", ".join(f"{drop:.2f}" for drop in drops) if half else "",
        f"{fmean(drops):.2f}" if half else "",
        f"{mean['loss']:.3f}",
        f"{mean['lost']:.2%}" if half else "",
        str(sum(it["skipped"] for it in entries.values())),
        f"{mean['cpu_s']:.0f} s",
    ]
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
