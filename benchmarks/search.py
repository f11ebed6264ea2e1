"""All search solvers at equal numbers of evaluations: accuracy at cost, hypervolume, time.

    python benchmarks/search.py --data ../shared/data [--models NAME,...] [--solvers NAME,...]
        [--evaluations 150] [--seeds 0,1,2] [--samples 0]

Plans are measured on calibration data: evaluation data are not to be chosen on. All solvers and seeds share a
cache, so that `solver_s`, the time outside of measurements, is what compares. Writes
benchmarks/results/search.json; results of models and solvers that are not asked for
are kept.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from environment import environment

from hwmodels import load_target
from passes.allocation.allocate import Allocate
from passes.api import PassContext
from passes.execution.collect import HISTOGRAMS, MEANS, PATCHES
from passes.execution.dataset import graph_inputs, open_dataset
from passes.execution.metrics import choose_metric
from passes.execution.preprocess import Preprocess
from passes.ir.onnx_io import read_model
from passes.manager import PassManager
from passes.pipeline import parse
from passes.search.cache import EvaluationCache
from passes.search.driver import Limits, SearchResult, search
from passes.search.evaluator import Evaluator
from passes.search.model_task import model_task
from passes.search.payload import Payload, make_payload
from passes.search.point import Choices, Evaluation
from passes.search.runners import Serial
from passes.search.solver import SEARCH_SOLVERS, search_solver
from passes.search.task import SearchTask
from passes.transform.assign_scales import AssignScales
from qtool.exploration.request import SENSITIVITY

RESULTS = Path(__file__).resolve().parent / "results" / "search.json"
CIFAR = "mean=0.485,0.456,0.406 std=0.229,0.224,0.225"
THREADS = 1
SHARES = (0.3, 0.4, 0.5, 0.6)
"""Shares of the cost of uniform 8 bits at which the least loss is reported."""
FIXED = frozenset({"sweep", "quadratic", "ompq", "amp"})
"""Solvers without randomness: one seed says all."""


@dataclass(frozen=True)
class Case:
    """A model, its data, its machine and what is minimised beside the loss."""

    name: str
    model: str
    calib: str
    preprocess: str
    target: str
    objectives: tuple[str, ...]
    samples: int


CASES = (
    Case("resnet20-latency", "resnet20_cifar10", "cifar10/calib.npz", CIFAR, "bitfusion", ("latency",), 500),
    Case("resnet20-energy-size", "resnet20_cifar10", "cifar10/calib.npz", CIFAR, "bitfusion",
         ("energy", "size"), 500),
    Case("kws-latency", "kws_dscnn_mlperf", "audio/kws_calib.npz", "", "bismo-edge", ("latency",), 100),
)  # fmt: skip


class Timed:
    """An evaluator that knows how long it took."""

    def __init__(self, evaluator: Evaluator) -> None:
        """Start at zero."""
        self._evaluator, self.seconds = evaluator, 0.0

    def measure(self, batch: Sequence[Choices]) -> Iterator[tuple[Choices, Evaluation]]:
        """Pass plans on."""
        start = time.perf_counter()
        found = list(self._evaluator.measure(batch))
        self.seconds += time.perf_counter() - start
        yield from found


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--models", default=",".join(case.name for case in CASES))
    parser.add_argument("--solvers", default=",".join(SEARCH_SOLVERS))
    parser.add_argument("--evaluations", type=int, default=150)
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--samples", type=int, default=0, help="0: as many as the case says")
    options = parser.parse_args()
    document = json.loads(RESULTS.read_text()) if RESULTS.exists() else {"problems": {}}
    for case in (case for case in CASES if case.name in options.models.split(",")):
        found = compare(case, options)
        kept = others(document["problems"].get(case.name, {}), found, options.solvers.split(","))
        found["runs"] = kept + found["runs"]
        document["problems"][case.name] = found | {"environment": environment()}
        RESULTS.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def others(before: dict[str, Any], found: dict[str, Any], solvers: list[str]) -> list[dict[str, Any]]:
    """Return the runs of solvers that were not asked for, where they had the same problem."""
    same = all(before.get(key) == found[key] for key in ("target", "objectives", "samples", "evaluations"))
    return [run for run in before["runs"] if run["solver"] not in solvers] if same else []


def compare(case: Case, options: argparse.Namespace) -> dict[str, Any]:
    """Return what every solver finds on one problem."""
    with tempfile.TemporaryDirectory() as folder:
        task, evaluator, digest = prepare(case, options, Path(folder))
        rows = []
        for name in options.solvers.split(","):
            for seed in [int(seed) for seed in options.seeds.split(",")][: 1 if name in FIXED else None]:
                timed = Timed(evaluator)
                result = search(task, search_solver(name), timed, Limits(options.evaluations), seed)
                rows.append(row(task, name, seed, result) | {"solver_s": result.seconds - timed.seconds})
                print(case.name, json.dumps(rows[-1]), flush=True)
    return {
        "target": case.target,
        "objectives": list(task.objectives),
        "samples": task.samples,
        "float": task.float_value,
        "evaluations": options.evaluations,
        "cache_digest": digest,
        "runs": rows,
    }


def row(task: SearchTask, name: str, seed: int, result: SearchResult) -> dict[str, Any]:
    """Return the figures of one run."""
    cost = task.objectives[1]
    eight = task.costs(task.space.uniform(8))[cost]
    within = {
        str(share): min((p.loss for p in result.front if p.get(cost) <= share * eight), default=None)
        for share in SHARES
    }
    return {
        "solver": name,
        "seed": seed,
        "plans": len(result.points),
        "hypervolume": result.hypervolume,
        "loss_within_share_of_8_bits": within,
        "seconds": result.seconds,
    }


def prepare(case: Case, options: argparse.Namespace, folder: Path) -> tuple[SearchTask, Evaluator, str]:
    """Return the task of a case and an evaluator that remembers."""
    case = replace(case, samples=options.samples or case.samples)
    found = opened(case, options.data)
    payload, task = found.payload, found.task
    cache = EvaluationCache(folder / "evaluations.sqlite")
    return task, Evaluator(task.problem, Serial(payload), cache, payload.digest), payload.digest


@dataclass(frozen=True)
class Opened:
    """A case that can be searched.

    Attributes:
        task: what is searched.
        payload: what measuring plans needs.
        other: the same for other samples, by their place in the data folder.
        estimate_cpu_s: processor time of the estimate of losses.
    """

    task: SearchTask
    payload: Payload
    other: Callable[[str], Payload]
    estimate_cpu_s: float


def opened(case: Case, data: Path, sensitivity: str = SENSITIVITY) -> Opened:
    """Bring a model into the form that is quantized, and collect what solvers and workers need."""
    model = read_model(data / "models" / f"{case.model}.onnx")
    ctx = PassContext(load_target(case.target), workers=THREADS)
    steps = Preprocess.parse(case.preprocess) if case.preprocess else None
    ctx.calibration = open_dataset(str(data / case.calib), graph_inputs(model.graph), steps, case.samples)
    PassManager(parse("canonicalize,fold-batchnorm,equalize")).run(model, ctx)
    ctx.observes = frozenset({HISTOGRAMS, MEANS, PATCHES})

    def payload_of(samples: str, limit: int | None = None) -> Payload:
        ctx.evaluation = open_dataset(str(data / samples), graph_inputs(model.graph), steps, limit)
        return make_payload(model, ctx, choose_metric(None, ctx.evaluation.labels), AssignScales())

    payload, start = payload_of(case.calib, case.samples), time.process_time()
    allocate = Allocate(sensitivity=sensitivity)
    task = model_task(model, ctx, allocate, case.objectives, payload.float_value, ctx.evaluation.count)
    return Opened(task, payload, payload_of, time.process_time() - start)


if __name__ == "__main__":
    main()
