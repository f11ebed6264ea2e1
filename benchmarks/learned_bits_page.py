"""Fills in the tables of docs/ddq.md from benchmarks/results/learned_bits.json.

python benchmarks/learned_bits_page.py
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from between_marks import fill

ROOT = Path(__file__).resolve().parents[1]
PAGES = {"ddq": ROOT / "docs" / "ddq.md"}
HEAD = (
    "| model, budget, seed, steps | float | learned, fine-tuned | computed, no training "
    "| computed, fine-tuned | packed as Q/DQ | bytes of weights | processor time |\n"
    "|---|---|---|---|---|---|---|---|"
)


def main() -> None:
    """Write the table of each method between its marks."""
    found = json.loads((ROOT / "benchmarks" / "results" / "learned_bits.json").read_text())["entries"]
    for method, page in PAGES.items():
        rows = [_row(key, entry) for key, entry in sorted(found.items()) if key.split()[1] == method]
        fill(page, "\n".join([HEAD, *rows]))


def _row(key: str, entry: dict[str, Any]) -> str:
    model, _, rest = key.split(" ", 2)
    plans = entry["plans"].values()
    top1 = [f"{plan['top1']:.2%}" for plan in plans]
    same = "yes" if all(plan["packed"] == plan["top1"] for plan in plans) else "no"
    sizes = ", ".join(f"{plan['weight_bytes']:.0f}" for plan in plans)
    times = ", ".join(f"{plan['cpu_s']:.0f}" for plan in plans)
    return f"| {model}, {rest} | {entry['float']:.2%} | {' | '.join(top1)} | {same} | {sizes} | {times} s |"


if __name__ == "__main__":
    main()
