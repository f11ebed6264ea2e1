"""The exact solver against HAQ's agent, NSGA-II and the greedy walk, on one table of losses and latencies.

    python benchmarks/solvers_on_table.py --data ../shared/data [--plans 100] [--seeds 0]

Every plan's loss is what the table says, so that solvers differ by what they find and not by luck in
measuring: the sum of the losses that `scaled` estimates for MobileNetV2, as 1 - exp(-sum), and latencies of
`bismo-cloud`. At each of ten budgets HAQ's agent (extra `rl`) has as many plans as asked for; NSGA-II (extra
`search`, without plans of the exact solver) has those of all budgets together. Writes
benchmarks/results/solvers_on_table.json; budgets that are in it for as many plans are not run again.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from math import exp, inf
from pathlib import Path
from typing import Any

from environment import environment

from hwmodels import load_target
from passes.allocation import Budget, cheapest, solver
from passes.allocation.allocate import Allocate
from passes.allocation.evaluate import evaluate
from passes.api import PassContext
from passes.execution.collect import HISTOGRAMS, MEANS, PATCHES
from passes.execution.dataset import graph_inputs, open_dataset
from passes.execution.preprocess import Preprocess
from passes.ir.onnx_io import read_model
from passes.manager import PassManager
from passes.pipeline import parse
from passes.search.driver import Limits, search
from passes.search.haq import Haq
from passes.search.model_task import model_task
from passes.search.point import Choices, Evaluation
from passes.search.solver import search_solver
from passes.search.task import SearchTask

RESULTS = Path(__file__).resolve().parent / "results" / "solvers_on_table.json"
SHARES = (0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7, 0.8)
"""Budgets, as shares of the latency of uniform 8 bits."""
LATENCY = "latency_s"


class Table:
    """Measures plans by adding up what the table says of their layers."""

    def __init__(self, task: SearchTask) -> None:
        """Take the problem of a task."""
        self._problem = task.problem

    def measure(self, batch: Sequence[Choices]) -> Iterator[tuple[Choices, Evaluation]]:
        """Yield every plan with the metric that the table gives it."""
        for choices in batch:
            yield choices, Evaluation(exp(-evaluate(self._problem, choices)[0]), 1)


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--plans", type=int, default=100, help="of HAQ's agent at each budget")
    parser.add_argument("--seeds", default="0")
    options = parser.parse_args()
    task = read_task(options.data)
    eight = task.costs(task.space.uniform(8))[LATENCY]
    least = cheapest(task.problem, LATENCY) / eight
    before = json.loads(RESULTS.read_text()) if RESULTS.exists() else {"plans": 0, "rows": []}
    rows: list[dict[str, Any]] = before["rows"] if before["plans"] == options.plans else []
    document = {"environment": environment(), "least_share": least, "plans": options.plans, "rows": rows}
    seeds = [int(seed) for seed in options.seeds.split(",")]
    fronts = {seed: front(task, seed, options.plans * len(SHARES)) for seed in seeds}
    for share in sorted(set(SHARES) - {row["share"] for row in rows}):
        limit = share * eight
        row: dict[str, Any] = {"share": share}
        row |= {name: allocated(task, name, limit) for name in ("ilp", "greedy")}
        row["haq"] = [agent(task, share, limit, seed, options.plans) for seed in seeds]
        row["nsga2"] = [
            {
                "loss": min((loss for latency, loss in found if latency <= limit), default=inf),
                "seconds_of_all": s,
            }
            for found, s in fronts.values()
        ]
        rows.append(row)
        print(json.dumps(row), flush=True)
        RESULTS.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def read_task(data: Path) -> SearchTask:
    """Return loss and latency of MobileNetV2, with the losses estimated on its calibration images."""
    model = read_model(data / "models" / "mobilenet_v2_1.0_224.onnx")
    ctx = PassContext(load_target("bismo-cloud"), workers=1)
    calib = str(data / "imagenet" / "calib")
    ctx.calibration = open_dataset(calib, graph_inputs(model.graph), Preprocess.parse("tf"))
    PassManager(parse("canonicalize,fold-batchnorm,equalize")).run(model, ctx)
    ctx.observes = frozenset({HISTOGRAMS, MEANS, PATCHES})
    return model_task(model, ctx, Allocate(), ("latency",), 1.0, 1)


def allocated(task: SearchTask, name: str, limit: float) -> dict[str, Any]:
    """Return what a solver of sums finds, and in what time."""
    start = time.process_time()
    found = solver(name).solve(task.problem, [Budget(LATENCY, limit)])
    return {"loss": 1 - exp(-found.loss), "status": found.status, "seconds": time.process_time() - start}


def agent(task: SearchTask, share: float, limit: float, seed: int, plans: int) -> dict[str, Any]:
    """Return the best plan that HAQ's agent meets within a budget."""
    start = time.process_time()
    asked = replace(task, budgets=(Budget(LATENCY, limit),))
    found = search(asked, Haq(ratios=(share,)), Table(task), Limits(plans), seed)
    within = [point.loss for point in found.points if point.get(LATENCY) <= limit * (1 + 1e-9)]
    seconds = time.process_time() - start
    return {"loss": min(within, default=inf), "plans": len(found.points), "seconds": seconds}


def front(task: SearchTask, seed: int, plans: int) -> tuple[list[tuple[float, float]], float]:
    """Return latency and loss along the front of NSGA-II, and its processor time."""
    start = time.process_time()
    found = search(task, search_solver("nsga2-unseeded"), Table(task), Limits(plans), seed)
    points = [(point.get(LATENCY), point.loss) for point in found.front]
    return points, time.process_time() - start


if __name__ == "__main__":
    main()
