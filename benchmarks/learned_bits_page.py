"""Fills in the tables of docs/ddq.md, bsq.md and amed.md from benchmarks/results/learned_bits.json.

python benchmarks/learned_bits_page.py
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from between_marks import fill

ROOT = Path(__file__).resolve().parents[1]
PAGES = {"ddq.md": ("ddq", "ddq-free"), "bsq.md": ("bsq", "msq"), "amed.md": ("amed",)}
HEAD = (
    "| model, method, budget, seed, steps | float | learned, fine-tuned | computed, no training "
    "| computed, fine-tuned | packed as Q/DQ | bytes of weights | below 32 bits | processor time |\n"
    "|---|---|---|---|---|---|---|---|---|"
)


def main() -> None:
    """Write the table of each page between its marks."""
    found = json.loads((ROOT / "benchmarks" / "results" / "learned_bits.json").read_text())["entries"]
    for page, methods in PAGES.items():
        rows = [_row(key, entry) for key, entry in sorted(found.items()) if key.split()[1] in methods]
        fill(ROOT / "docs" / page, "\n".join([HEAD, *rows]))


def _row(key: str, entry: dict[str, Any]) -> str:
    what = ", ".join(key.split(" ", 2))
    plans = entry["plans"].values()
    top1 = [f"{plan['top1']:.2%}" for plan in plans]
    same = "yes" if all(plan["packed"] == plan["top1"] for plan in plans) else "no"
    sizes = ", ".join(f"{plan['weight_bytes']:.0f}" for plan in plans)
    times = ", ".join(f"{plan['cpu_s']:.0f}" for plan in plans)
    times_smaller = ", ".join(f"{plan['compression']:.1f}x" for plan in plans)
    cells = [what, f"{entry['float']:.2%}", *top1, same, sizes, times_smaller, f"{times} s"]
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
