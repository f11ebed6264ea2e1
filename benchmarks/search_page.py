"""Fills the tables of docs/search.md and draws its figure from benchmarks/results/search.json.

    python benchmarks/search_page.py

Needs the extra `docs`.
"""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import altair as alt
import numpy as np
from between_marks import fill

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "search.md"
SHARES = ("0.4", "0.5", "0.6")
Row = dict[str, Any]


def main() -> None:
    """Write the tables and the figure."""
    problems = json.loads((ROOT / "benchmarks" / "results" / "search.json").read_text())["problems"]
    fill(PAGE, "\n\n".join(table(name, problem) for name, problem in problems.items()))
    figure(problems).save(str(ROOT / "docs" / "search.svg"))


def table(name: str, problem: Row) -> str:
    """Return what all solvers found on one problem, the best of them first."""
    runs: dict[str, list[Row]] = defaultdict(list)
    for run in problem["runs"]:
        runs[run["solver"]].append(run)
    order = sorted(runs, key=lambda solver: -mean(run["hypervolume"] for run in runs[solver]))
    costs = " and ".join(problem["objectives"][1:])
    lines = [
        f"**{name}**: loss and {costs} on `{problem['target']}`, {problem['evaluations']} plans on "
        f"{problem['samples']} samples",
        "",
        f"| solver | hypervolume | {' | '.join(f'at {share}' for share in SHARES)} | seconds |",
        f"|---|---|{'---|' * len(SHARES)}---|",
        *(line(solver, runs[solver]) for solver in order),
    ]
    return "\n".join(lines)


def line(solver: str, runs: list[Row]) -> str:
    """Return one solver's line: means over seeds, and the range of the hypervolume."""
    volumes = [run["hypervolume"] for run in runs]
    volume = f"{mean(volumes):.3f}"
    if len(volumes) > 1:
        volume += f" ({min(volumes):.3f} to {max(volumes):.3f})"
    losses = [lost([run["loss_within_share_of_8_bits"][share] for run in runs]) for share in SHARES]
    return f"| `{solver}` | {' | '.join([volume, *losses])} | {mean(run['solver_s'] for run in runs):.1f} |"


def lost(losses: list[float | None]) -> str:
    """Return a mean loss in points; a dash where a run found no plan within the cost."""
    known = [100 * loss for loss in losses if loss is not None]
    return f"{mean(known):.1f}" if len(known) == len(losses) else "-"


def mean(values: Any) -> float:
    """Return the mean."""
    return float(np.mean(list(values)))


def figure(problems: dict[str, Row]) -> alt.FacetChart:
    """Return the hypervolume of every run, a small figure per problem."""
    points = [
        {"problem": name, "solver": run["solver"], "hypervolume": run["hypervolume"]}
        for name, problem in problems.items()
        for run in problem["runs"]
    ]
    return (
        alt.Chart(alt.Data(values=points))
        .mark_point(filled=True, size=50, opacity=0.7)
        .encode(
            x=alt.X("hypervolume:Q", scale=alt.Scale(domain=[0, 1])),
            y=alt.Y("solver:N", title=None, sort=alt.EncodingSortField("hypervolume", "mean", "descending")),
        )
        .properties(width=220, height=180)
        .facet(alt.Facet("problem:N", title=None, sort=list(problems)), columns=3)
    )


if __name__ == "__main__":
    main()
