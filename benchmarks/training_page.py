"""Fills in the tables of docs/training.md from training.json, haq_training.json and beacons.json.

python benchmarks/training_page.py
"""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from statistics import mean
from typing import Any

from between_marks import fill

ROOT = Path(__file__).resolve().parents[1]
PAGE, RESULTS = ROOT / "docs" / "training.md", ROOT / "benchmarks" / "results"
COSTS = {"latency_s": "latency", "energy_j": "energy", "weight_bytes": "bytes", "bops": "bit operations"}
HEAD = (
    "| network, machine | plan | costs | float | before | after | lost | forms | steps, rate | seeds | s |",
    "|---|---|---|---|---|---|---|---|---|---|---|",
)
HAQ_HEAD = (
    "| machine, budget; training | costs | float | after | points lost | packed | search, training behind |",
    "|---|---|---|---|---|---|---|",
)
BEACON_HEAD = (
    "| network, beacons, seed | beacons | error without | with | cut | most | plans compared | time |",
    "|---|---|---|---|---|---|---|---|",
)
Row = dict[str, Any]


def main() -> None:
    """Write every table between its marks."""
    groups: dict[str, dict[str, list[Row]]] = defaultdict(lambda: defaultdict(list))
    for key, entry in entries("training.json").items():
        groups[entry["run"]["claim"]][key.rsplit(", seed", 1)[0]].append(entry)
    for claim, plans in groups.items():
        fill(PAGE, "\n".join([*HEAD, *map(_plan, plans.values())]), claim)
    haq = [_episodes(key, entry) for key, entry in entries("haq_training.json").items()]
    fill(PAGE, "\n".join([*HAQ_HEAD, *haq]), "haq episodes")
    beacons = [
        _beacons(key, entry, kind) for key, entry in entries("beacons.json").items() for kind in entry["cut"]
    ]
    fill(PAGE, "\n".join([*BEACON_HEAD, *filter(None, beacons)]), "beacons")


def entries(name: str) -> dict[str, Row]:
    """Return what a file of results holds, in order of names; nothing where there is none."""
    path = RESULTS / name
    return dict(sorted(json.loads(path.read_text())["entries"].items())) if path.exists() else {}


def _plan(seeds: list[Row]) -> str:
    """Return the row of one plan: means over its seeds."""
    first = seeds[0]
    top1 = {name: mean(it["top1"][name] for it in seeds) for name in first["top1"]}
    lost = [100 * (it["top1"]["float"] - it["top1"]["fine-tuned"]) for it in seeds]
    spread = f" ({min(lost):.2f} to {max(lost):.2f})" if len(lost) > 1 else ""
    run, time_s = first["run"], mean(sum(it["cpu_s"].values()) for it in seeds)
    bits, how = run["bits"].replace("{steps} ", ""), first["options"]
    return _row(
        f"{run['network']}, {run['target']}", f"`{bits}`", _costs(first["ratios"]),
        *(f"{top1[name]:.2%}" for name in ("float", "before", "fine-tuned")),
        f"{mean(lost):.2f}{spread}", _same([it["top1"] for it in seeds]),
        f"{how['steps']} at {how['rate']:g}", str(len(seeds)), f"{time_s:.0f}",
    )  # fmt: skip


def _episodes(key: str, entry: Row) -> str:
    top1, spent = entry["top1"], entry["cpu_s"]
    lost = f"{100 * (top1['float'] - top1['fine-tuned']):.2f}"
    accuracies = (f"{top1['float']:.2%}", f"{top1['fine-tuned']:.2%}", lost)
    return _row(
        key,
        _costs(entry["ratios"]),
        *accuracies,
        _same([top1]),
        f"{spent['search']:.0f}, {spent['behind']:.0f} s",
    )


def _beacons(key: str, entry: Row, kind: str) -> str:
    found = entry["cut"][kind]
    if kind == "inference only":
        return ""
    cut = f"{1 - found['after'] / found['before']:.0%}" if found["before"] else ""
    errors = [f"{found[name]:.2f}" for name in ("before", "after")]
    compared = f"{found['points']} of {found['of']}"
    return _row(key, kind, *errors, cut, f"{found['most']:.1f}", compared, f"{entry['cpu_s'][kind]:.0f} s")


def _costs(ratios: dict[str, float]) -> str:
    return ", ".join(f"{COSTS[name]} {value:.3g}x" for name, value in ratios.items())


def _same(found: list[dict[str, float]]) -> str:
    """Say whether all forms are right on as many pictures."""
    return (
        "same"
        if all(it["packed"] == it.get("in PyTorch", it["packed"]) == it["fine-tuned"] for it in found)
        else "differs"
    )


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
