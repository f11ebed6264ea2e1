"""Fills in the table of docs/half_precision.md from benchmarks/results/half_training.json.

python benchmarks/half_training_page.py
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from between_marks import fill

ROOT = Path(__file__).resolve().parents[1]
HEAD = (
    "| run | top-1 | loss, last 20 steps | weight gradients lost to 0 | steps skipped | processor time |\n"
    "|---|---|---|---|---|---|"
)


def main() -> None:
    """Write the table between its marks."""
    found = json.loads((ROOT / "benchmarks" / "results" / "half_training.json").read_text())["entries"]
    rows = [_row(key, entry) for key, entry in found.items()]
    fill(ROOT / "docs" / "half_precision.md", "\n".join([HEAD, *rows]))


def _row(key: str, entry: dict[str, Any]) -> str:
    lost = "" if "float32" in key else f"{entry['lost']:.2%}"
    cells = [key, f"{entry['top1']:.2%}", f"{entry['loss']:.4f}", lost, str(entry["skipped"])]
    return f"| {' | '.join(cells)} | {entry['cpu_s']:.0f} s |"


if __name__ == "__main__":
    main()
