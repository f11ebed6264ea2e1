"""Fills in the table of docs/finetune.md from benchmarks/results/training.json.

python benchmarks/training_page.py
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from between_marks import fill

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "finetune.md"
HEAD = (
    "| run | float | without gradients | fine-tuned | in PyTorch, Q/DQ, packed | processor time |\n"
    "|---|---|---|---|---|---|"
)


def main() -> None:
    """Write the table between its marks."""
    found = json.loads((ROOT / "benchmarks" / "results" / "training.json").read_text())
    rows = [_row(key, entry) for key, entry in sorted(found["entries"].items())]
    fill(PAGE, "\n".join([HEAD, *rows]))


def _row(key: str, entry: dict[str, Any]) -> str:
    top1 = {name: f"{value:.2%}" for name, value in entry["top1"].items()}
    forms = ", ".join(top1[name] for name in ("in PyTorch", "fine-tuned", "packed"))
    cells = [key, top1["float"], top1["without gradients"], top1["fine-tuned"], forms]
    return f"| {' | '.join(cells)} | {entry['cpu_s']['fine-tuning']:.0f} s |"


if __name__ == "__main__":
    main()
