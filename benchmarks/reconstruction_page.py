"""Fills the table of docs/reconstruction.md from the results of benchmarks/accuracy.py.

    python benchmarks/reconstruction_page.py

Reads benchmarks/results/accuracy.json, and accuracy_reconstructed.json for pipelines that learn by gradients.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from accuracy import CASES, SETTINGS, TAIL
from between_marks import fill

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"
PAGE = ROOT / "docs" / "reconstruction.md"
Entry = dict[str, Any]


def main() -> None:
    """Write the table."""
    plain = read("accuracy.json")
    learned = read("accuracy_reconstructed.json")
    without = {(it["model"], it["setting"]): it for it in plain if it["tail"] == TAIL and it["seed"] == 0}
    order = {name: at for at, name in enumerate([*CASES, *SETTINGS])}
    learned.sort(key=lambda it: (order[it["model"]], order[it["setting"]], it["tail"]))
    rows = [row(it, without.get((it["model"], it["setting"]))) for it in learned]
    head = [
        "| model | setting | pipeline | without gradients | learned | agreement | float passes |",
        "|---|---|---|---|---|---|---|",
    ]
    fill(PAGE, "\n".join([*head, *rows]))


def read(name: str) -> list[Entry]:
    """Return the entries of a result file."""
    entries: list[Entry] = json.loads((RESULTS / name).read_text(encoding="utf-8"))["entries"]
    return entries


def row(entry: Entry, without: Entry | None) -> str:
    """Return one line: what a pipeline that learns lost, beside what the one without gradients lost."""
    cells = [
        entry["model"],
        entry["setting"],
        f"`{entry['tail']}`",
        "-" if without is None else lost(without),
        lost(entry),
        f"{entry['agreement']:.1f} %" if "agreement" in entry else "-",
        f"{entry['float_passes']:.0f}",
    ]
    return f"| {' | '.join(cells)} |"


def lost(entry: Entry) -> str:
    """Return a drop in points, or a ratio of perplexities, with its interval."""
    if "ratio" in entry:
        return f"x {entry['ratio']:.3f} ± {entry['interval']:.3f}"
    return f"{entry['drop']:.2f} ± {entry['interval']:.2f}"


if __name__ == "__main__":
    main()
