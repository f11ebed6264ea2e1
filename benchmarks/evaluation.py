"""What measuring plans costs, in passes of the float model over the same samples.

    python benchmarks/evaluation.py --data ../shared/data [--only one,many,workers,amp,sweep] [--plans 1000]

The float model and the plans run on one thread each, by turns, and processor time is what compares: other
work on the machine takes less of it away than of wall-clock time. Only two workers against one are timed by
the clock, by turns as well, and worth something on an idle machine alone. Writes
benchmarks/results/evaluation.json; parts that are not asked for are kept.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from environment import environment
from search import CASES, CIFAR, Case, Opened, opened

from hwmodels import Precision
from passes.execution.simulator import Simulator
from passes.ir.onnx_io import read_model
from passes.ir.setup import quantizer_setup
from passes.search.amp import Amp
from passes.search.cache import EvaluationCache
from passes.search.driver import Limits, Progress, SearchResult, search
from passes.search.evaluator import Evaluator
from passes.search.measurer import Measurer
from passes.search.payload import Payload
from passes.search.point import Choices
from passes.search.random_plans import RandomPlans
from passes.search.runners import Processes, Serial
from passes.search.solver import SearchSolver
from passes.search.sweep import Sweep
from passes.search.task import SearchTask
from qtool.exploration.request import CACHE, SENSITIVITY

RESULTS = Path(__file__).resolve().parent / "results" / "evaluation.json"
CHEAP = "attribution"
"""Estimate of losses where nothing depends on it."""
MOBILENET = Case(
    "mobilenet_v2", "mobilenet_v2_1.0_224", "imagenet/calib", "tf", "bitfusion", ("latency",), 250
)
RESNET = next(case for case in CASES if case.name == "resnet20-latency")
BOPS = Case("resnet20-bops", RESNET.model, RESNET.calib, CIFAR, "generic", ("bops",), 250)
EVAL = "cifar10/eval.npz"
PLANS, MANY, STEPS, ROUNDS, SIDE_BY_SIDE = 12, 1000, 10, 5, 24
SHARES = (0.2, 0.3, 0.4, 0.5)
"""Of the BOPs of uniform 8 bits."""
SWEEPS = (("scaled", 10), ("scaled", 25), (SENSITIVITY, 10), (SENSITIVITY, 25))
"""Estimates of losses and numbers of plans; the first is that of ``qtool quantize``, the last of a search."""


class Clock:
    """Processor time and wall-clock time of what is run."""

    def __init__(self) -> None:
        """Start at nothing."""
        self.cpu_s: list[float] = []
        self.wall_s: list[float] = []

    def run(self, action: Callable[[], Any]) -> Any:
        """Run something and keep its times."""
        wall, cpu = time.perf_counter(), time.process_time()
        found = action()
        self.cpu_s.append(time.process_time() - cpu)
        self.wall_s.append(time.perf_counter() - wall)
        return found


class Float:
    """Passes of the float model over the samples of a payload, timed."""

    def __init__(self, payload: Payload, data: Path, case: Case) -> None:
        """Load the model and read the samples, with a first pass that does not count."""
        model = read_model(data / "models" / f"{case.model}.onnx")
        setup = quantizer_setup(model.graph, payload.target)
        self._simulator = Simulator(model, setup, payload.data, payload.threads)
        self._simulator.run_float()
        self.clock = Clock()

    def run(self) -> None:
        """Run one pass."""
        self.clock.run(self._simulator.run_float)

    @property
    def cpu_s(self) -> float:
        """Processor time of a pass, the median."""
        return median(self.clock.cpu_s)


def one(data: Path) -> dict[str, Any]:
    """Return what one plan of MobileNetV2 costs on 250 images, and what is built once for all of them."""
    found = opened(MOBILENET, data, CHEAP)
    passes, measurer, plans = Float(found.payload, data, MOBILENET), Measurer(found.payload), Clock()
    built, rng = Clock(), np.random.default_rng(0)
    for bits in uniform(found.task):
        built.run(partial(measurer.plan, bits))
    for _ in range(PLANS):
        passes.run()
        plans.run(partial(measurer.measure, drawn(found.task, rng)))
    ratios = np.array(plans.cpu_s) / passes.cpu_s
    return {
        "samples": found.payload.data.count,
        "float_cpu_s": passes.cpu_s,
        "plan_in_passes": float(np.median(ratios)),
        "least_and_most": [float(ratios.min()), float(ratios.max())],
        "plan_in_passes_wall": median(plans.wall_s) / median(passes.clock.wall_s),
        "built_once_in_passes": sum(built.cpu_s) / passes.cpu_s,
    }


def many(data: Path, plans: int = MANY) -> dict[str, Any]:
    """Return what a search with many plans of ResNet-20 takes, and the memory on its way."""
    found = opened(RESNET, data, CHEAP)
    passes, memory = Float(found.payload, data, RESNET), []

    def tell(progress: Progress) -> None:
        if progress.evaluations % (plans // STEPS) == 0:
            memory.append(resident_bytes())
            passes.run()

    clock = Clock()
    result = clock.run(partial(run, found.task, found.payload, RandomPlans(), plans, tell))
    return {
        "samples": found.payload.data.count,
        "plans": len(result.points),
        "float_cpu_s": passes.cpu_s,
        "passes": (clock.cpu_s[0] - sum(passes.clock.cpu_s)) / passes.cpu_s,
        "resident_bytes": memory,
    }


def workers(data: Path) -> dict[str, Any]:
    """Return how much sooner two processes are done with the same plans than one."""
    found = opened(RESNET, data, CHEAP)
    rng = np.random.default_rng(0)
    runners = {count: Processes(found.payload, count) for count in (1, 2)}
    clocks = {count: Clock() for count in runners}
    for runner in runners.values():
        # Processes start, and every width is rounded, before the clock runs.
        list(runner.run(uniform(found.task) * 4))
    for _ in range(ROUNDS):
        jobs = [drawn(found.task, rng) for _ in range(SIDE_BY_SIDE)]
        for count, runner in runners.items():
            clocks[count].run(lambda runner=runner, jobs=jobs: list(runner.run(jobs)))
    for runner in runners.values():
        runner.close()
    ratios = [alone / two for alone, two in zip(clocks[1].wall_s, clocks[2].wall_s, strict=True)]
    return {
        "samples": found.payload.data.count,
        "plans": SIDE_BY_SIDE,
        "speed_up": median(ratios),
        "of_each_round": ratios,
        "load": os.getloadavg(),
    }


def amp(data: Path) -> dict[str, Any]:
    """Return accuracies at shares of BOPs, and passes, of AIMET's greedy walk, which needs no estimate."""
    walked = opened(BOPS, data, CHEAP)
    free = replace(walked, estimate_cpu_s=0.0)
    return judged(
        data, {"amp, 2 to 8 bits": (free, Amp(), MANY), "amp, 4 and 8 bits": (free, Amp((4,)), MANY)}
    )


def sweep(data: Path) -> dict[str, Any]:
    """Return the same of sweeps."""
    known = {sensitivity: opened(BOPS, data, sensitivity) for sensitivity in dict(SWEEPS)}
    return judged(
        data,
        {
            f"sweep, {sensitivity}, {count} plans": (known[sensitivity], Sweep(), count)
            for sensitivity, count in SWEEPS
        },
    )


def judged(data: Path, runs: Mapping[str, tuple[Opened, SearchSolver, int]]) -> dict[str, Any]:
    """Return what searches cost, and what their plans are worth on held-out samples."""
    case, *_ = next(iter(runs.values()))
    passes, held_out = Float(case.payload, data, BOPS), case.other(EVAL)
    judge, rows = Measurer(held_out), {}
    for name, (case, solver, count) in runs.items():
        passes.run()
        clock = Clock()
        result = clock.run(partial(run, case.task, case.payload, solver, count))
        spent = clock.cpu_s[0] + case.estimate_cpu_s
        rows[name] = {"plans": len(result.points), "cpu_s": spent} | at_shares(case.task, result, judge)
        print(name, json.dumps(rows[name]), flush=True)
    for row in rows.values():
        row["passes"] = row["cpu_s"] / passes.cpu_s
    return {
        "samples": case.payload.data.count,
        "eval_samples": held_out.data.count,
        "float_cpu_s": passes.cpu_s,
        "float": held_out.float_value,
        "runs": rows,
    }


def at_shares(task: SearchTask, result: SearchResult, judge: Measurer) -> dict[str, Any]:
    """Return the accuracy on held-out samples of the plan of least loss within each share of the BOPs."""
    cost = task.objectives[1]
    eight, found = task.costs(task.space.uniform(8))[cost], {}
    for share in SHARES:
        within = [point for point in result.front if point.get(cost) <= share * eight]
        best = min(within, key=lambda point: point.loss, default=None)
        found[str(share)] = None if best is None else judge.measure(bits_of(task, best.choices)).value
    return {"hypervolume": result.hypervolume, "held_out_within_share": found}


def run(
    task: SearchTask,
    payload: Payload,
    solver: SearchSolver,
    evaluations: int,
    tell: Callable[[Progress], None] = lambda progress: None,
    seed: int = 0,
) -> SearchResult:
    """Search in this process with a cache of its own."""
    with TemporaryDirectory() as folder, closing(EvaluationCache(Path(folder) / CACHE)) as cache:
        evaluator = Evaluator(task.problem, Serial(payload), cache, payload.digest)
        return search(task, solver, evaluator, Limits(evaluations), seed, tell)


def uniform(task: SearchTask) -> list[dict[str, Precision]]:
    """Return the uniform plans of 2 to 8 bits, in which every layer meets every width."""
    return [bits_of(task, task.space.uniform(width)) for width in range(2, 9)]


def drawn(task: SearchTask, rng: np.random.Generator) -> dict[str, Precision]:
    """Return a random plan."""
    return bits_of(task, task.space.decode(task.space.draw(rng)))


def bits_of(task: SearchTask, choices: Choices) -> dict[str, Precision]:
    """Return the precision of every layer."""
    pairs = zip(task.problem.layers, choices, strict=True)
    return {layer.name: Precision(*layer.choices[index].pair) for layer, index in pairs}


def resident_bytes() -> int:
    """Return the memory of this process (Linux)."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


PARTS = {"one": one, "many": many, "workers": workers, "amp": amp, "sweep": sweep}


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--only", default=",".join(PARTS))
    parser.add_argument("--plans", type=int, default=MANY, help="of the part many")
    options = parser.parse_args()
    parts = PARTS | {"many": partial(many, plans=options.plans)}
    for name in options.only.split(","):
        found = parts[name](options.data) | {"environment": environment()}
        document = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
        RESULTS.write_text(json.dumps(document | {name: found}, indent=1) + "\n", encoding="utf-8")
        print(name, json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
