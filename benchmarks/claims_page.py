"""Writes the table of docs/claims.md from benchmarks/results/claims.json.

python benchmarks/claims_page.py
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from between_marks import fill

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results" / "claims.json"
PAGE = ROOT / "docs" / "claims.md"
DROP = 1.0
"""Points of the metric that a claim may cost."""
SHARES = {"latency": 0.97, "energy": 0.86}
"""Of the greatest saving on SiLago, MOHAQ's abstract."""
COMPRESSION = 8.0
METRICS = {"latency": "latency_s", "energy": "energy_j"}
FACTORS = {"latency": 1.7, "energy": 1.9}
Row = dict[str, Any]


def main() -> None:
    """Fill the tables of both papers."""
    document = json.loads(RESULTS.read_text())
    haq = [line(name, row) for name, row in document.items() if name.startswith("haq")]
    mohaq = [line(name, row) for name, row in document.items() if name.startswith("mohaq")]
    fill(PAGE, "\n".join([*head("network, machine"), *haq]), "HAQ")
    fill(PAGE, "\n".join([*head("network, machine"), *mohaq]), "MOHAQ")


def head(first: str) -> list[str]:
    """Return the head of a table."""
    return [f"| {first} | command | found | bar | points lost | met |", "|---|---|---|---|---|---|"]


def line(name: str, row: Row) -> str:
    """Return one claim beside its bar."""
    found, bar, reached = judged(name, row)
    met = "yes" if reached and row["drop"] <= DROP + 1e-9 else "no"
    network = name.split()[3] if name.startswith("haq") else "fsdd_bigru"
    command = " ".join((row.get("command", "quantize"), *row["options"]))
    return f"| {network}, `{row['target']}` | `{command}` | {found} | {bar} | {row['drop']:.1f} | {met} |"


def judged(name: str, row: Row) -> tuple[str, str, bool]:
    """Return what was found, what was to be found, and whether it was."""
    paper, word, *_ = name.split()
    if paper == "haq":
        factor = 1 / row["ratios"][METRICS[word]]
        return f"{word} {factor:.2f}x lower", f"{FACTORS[word]}x", factor >= FACTORS[word]
    if word == "size":
        times = row["size_of_float"]
        return f"{times:.1f}x smaller than float", f"{COMPRESSION:g}x", times >= COMPRESSION
    metric = name.rsplit(maxsplit=1)[-1]
    return saving(metric, row)


def saving(metric: str, row: Row) -> tuple[str, str, bool]:
    """Return the share of the greatest speed-up, or factor of energy saved, whatever both count from."""
    share = row["least_ratios"][METRICS[metric]] / row["ratios"][METRICS[metric]]
    what = "speed-up" if metric == "latency" else "saving of energy"
    return f"{share:.0%} of the greatest {what}", f"{SHARES[metric]:.0%}", share >= SHARES[metric]


if __name__ == "__main__":
    main()
