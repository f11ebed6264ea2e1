"""The main job on real models: accuracy, budgets, agreement, size, speed and determinism, side by side.

    python benchmarks/main_job.py --data ../shared/data [--models NAME,...] [--only speed]

Writes benchmarks/results/main_job.json (with date, versions and machine) and prints the table of the README.
Results of models that are not asked for are kept.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))

from environment import environment

RESULTS = Path(__file__).resolve().parent / "results" / "main_job.json"
CIFAR = "mean=0.485,0.456,0.406 std=0.229,0.224,0.225"
THREADS = 2
WHOLE = 2
"""Uniform plans that go through the whole pipeline."""


@dataclass(frozen=True)
class Case:
    """One model with its data."""

    name: str
    calib: str
    eval: str
    preprocess: str
    offset: int = 0

    def arguments(self, data: Path, *, evaluate: bool = True) -> list[str]:
        """Return the arguments of ``qtool quantize`` that name model and data."""
        common = [str(data / "models" / f"{self.name}.onnx"), "--calib", str(data / self.calib)]
        common += ["--preprocess", self.preprocess, "--target", "bitfusion", "--workers", str(THREADS)]
        extra = ["--eval", str(data / self.eval), "--label-offset", str(self.offset)]
        return common + (extra if evaluate else [])


IMAGENET = ("imagenet/calib", "imagenet/eval")
CASES = (
    Case("mobilenet_v2_1.0_224", *IMAGENET, "tf", 1),
    Case("squeezenet1_1", *IMAGENET, "imagenet"),
    Case("mobilenet_v1_0.5_160", *IMAGENET, "resize=183 crop=160 scale=127.5 mean=1", 1),
    Case("resnet20_cifar10", "cifar10/calib.npz", "cifar10/eval.npz", CIFAR),
    Case("resnet32_cifar10", "cifar10/calib.npz", "cifar10/eval.npz", CIFAR),
)


def quantize(arguments: list[str], out: Path) -> tuple[dict[str, Any], float]:
    """Run the command line in a process of its own; return its report and its wall-clock seconds."""
    start = time.perf_counter()
    command = [sys.executable, "-m", "qtool", "quantize", *arguments, "-o", str(out), "--force", "--quiet"]
    subprocess.run(command, check=True)
    seconds = time.perf_counter() - start
    return json.loads((out / "report.json").read_text()), seconds


def measure(case: Case, data: Path, work: Path) -> dict[str, Any]:
    """Return everything that is said about one model."""
    eight, _ = quantize(case.arguments(data), work / "w8a8")
    found = {
        "float": eight["metric"]["float"],
        "samples": eight["metric"]["samples"],
        "w8a8": summary(eight, work / "w8a8"),
    }
    return found | half(case, data, work) | uniform(case, data)


def half(case: Case, data: Path, work: Path) -> dict[str, Any]:
    """Return what comes of half the latency, and whether a second run writes the same bytes."""
    budget, seconds = quantize([*case.arguments(data), "--max-latency", "0.5x"], work / "half")
    quantize([*case.arguments(data, evaluate=False), "--max-latency", "0.5x"], work / "again")
    files = ("model.qdq.onnx", "model.qpk", "plan.json")
    same = [(work / "half" / name).read_bytes() == (work / "again" / name).read_bytes() for name in files]
    facts = summary(budget, work / "half") | {"seconds": seconds}
    return {"half_latency": facts, "byte_identical": all(same)}


def summary(report: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Return the figures of one run."""
    layers = [layer for layer in report["layers"] if layer["quantized"]]
    payload = sum(layer["weight_bytes"] for layer in layers)
    size = (folder / "model.qpk").stat().st_size
    return {
        "top1": report["metric"]["quantized"],
        "packed": report["metric"]["packed"],
        "agreement_with_float": report["agreement"]["top1_vs_float"],
        "agreement_packed_vs_qdq": report["agreement"]["top1_agreement"],
        "max_lsb_per_layer": report["agreement"]["qdq_vs_packed_max_lsb"],
        "latency_ratio": report["cost"]["latency_s"] / report["cost_8bit"]["latency_s"],
        "budgets_met": all(budget["met"] for budget in report["budgets"]),
        "qpk_bytes": size,
        "qpk_limit_bytes": payload * 1.05 + 16_000,
        "qpk_overhead": size / payload - 1,
    }


def uniform(case: Case, data: Path) -> dict[str, Any]:
    """Return the widest uniform plans of 2 to 8 bits that cost at most 0.55x, and the best of them.

    They are measured with weights rounded by data layer by layer; the few best go through the pipeline of the
    command line.
    """
    from passes.execution.simulator import Simulator
    from passes.ir.setup import quantizer_setup
    from passes.manager import PassManager
    from passes.pipeline import parse
    from passes.rounding.local import LocalRoundings

    model, ctx, evaluation, metric = prepared(case, data)
    setup = quantizer_setup(model.graph)
    simulator = Simulator(model, setup, evaluation, THREADS)

    def top1() -> float:
        outputs = simulator.run(model.plan)
        return metric(outputs, outputs, evaluation.labels)

    plans = []
    for precision, cost in uniform_costs(model, ctx).items():
        PassManager(parse(f"allocate{{uniform={precision}}},assign-scales")).run(model, ctx)
        model.plan = ctx.get(LocalRoundings(), model).plan(model.plan, setup)
        plans.append({"precision": precision, "cost": cost, "rough_top1": top1()})
    best = sorted(plans, key=lambda plan: -plan["rough_top1"])[:WHOLE]
    for plan in best:
        text = f"allocate{{uniform={plan['precision']}}},assign-scales,gptq,bias-correction"
        PassManager(parse(text)).run(model, ctx)
        plan["top1"] = top1()
    return {"uniform": plans, "best_uniform_within_0.55": max(best, key=lambda plan: plan["top1"])}


def uniform_costs(model: Any, ctx: Any) -> dict[str, float]:
    """Return the widest uniform precisions of at most 0.55 times the latency of 8 bits, with that factor."""
    from hwmodels import Precision
    from passes.analysis.cost import price_plan
    from passes.ir.setup import quantizer_setup

    names = [layer.name for layer in quantizer_setup(model.graph).layers]
    eight = price_plan(model, ctx, dict.fromkeys(names, Precision(8, 8)))[0].latency_s or 1.0
    costs = {
        precision: (price_plan(model, ctx, dict.fromkeys(names, precision))[0].latency_s or 0.0) / eight
        for precision in (Precision(w, a) for w in range(2, 9) for a in range(2, 9))
    }
    within = [precision for precision, cost in costs.items() if cost <= 0.55]
    widest = [one for one in within if not any(other != one and other.covers(one) for other in within)]
    return {str(precision): costs[precision] for precision in widest}


def prepared(case: Case, data: Path) -> tuple[Any, Any, Any, Any]:
    """Return a model after the passes before allocation, its context, evaluation data and metric."""
    from hwmodels import load_target
    from passes.api import PassContext
    from passes.execution.collect import HISTOGRAMS, MEANS, PATCHES
    from passes.execution.dataset import graph_inputs, open_dataset
    from passes.execution.metrics import choose_metric
    from passes.execution.preprocess import Preprocess
    from passes.ir.onnx_io import read_model
    from passes.manager import PassManager
    from passes.pipeline import parse

    model = read_model(data / "models" / f"{case.name}.onnx")
    ctx = PassContext(load_target("bitfusion"), workers=THREADS)
    steps, inputs = Preprocess.parse(case.preprocess), graph_inputs(model.graph)
    ctx.calibration = open_dataset(str(data / case.calib), inputs, steps)
    evaluation = open_dataset(str(data / case.eval), inputs, steps)
    PassManager(parse("canonicalize,fold-batchnorm,equalize,split-norms,smooth{precision=w4a8}")).run(
        model, ctx
    )
    ctx.observes = frozenset({HISTOGRAMS, MEANS, PATCHES})
    return model, ctx, evaluation, choose_metric("top1", evaluation.labels, case.offset)


def speed(case: Case, data: Path, work: Path) -> dict[str, Any]:
    """Time whole 8-bit compilations against a float32 pass over the same images, in this run."""
    result: dict[str, Any] = {"float_pass_s": float_pass(case, data)}
    for ranges in ("minmax", "mse", "percentile"):
        arguments = [*case.arguments(data, evaluate=False), "--ranges", ranges]
        runs = [quantize(arguments, work / f"speed-{ranges}") for _ in range(3)]
        seconds = sorted(run[1] for run in runs)[1]
        result[ranges] = {
            "process_s": seconds,
            "ratio": seconds / result["float_pass_s"],
            "compilation_ratio": sorted(run[0]["time_s"]["total"] for run in runs)[1]
            / result["float_pass_s"],
            "peak_rss_mb": max(run[0]["peak_rss_bytes"] for run in runs) / 1e6,
        }
    result["float_pass_after_s"] = float_pass(case, data)
    result["quantize_static"] = peer(case, data)
    return result


def float_pass(case: Case, data: Path) -> float:
    """Return the seconds that ONNX Runtime needs for the images, one by one, decoding not included."""
    import onnxruntime

    feeds = _images(case, data)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = THREADS
    session = onnxruntime.InferenceSession(str(data / "models" / f"{case.name}.onnx"), options)
    session.run(None, feeds[0])
    times = []
    for _ in range(3):
        start = time.perf_counter()
        for feed in feeds:
            session.run(None, feed)
        times.append(time.perf_counter() - start)
    return sorted(times)[1]


def peer(case: Case, data: Path) -> dict[str, Any]:
    """Time onnxruntime's own quantize_static (min-max) on the same images."""
    code = (
        "import json,resource,sys,time,onnxruntime.quantization as q\n"
        "sys.path.insert(0,sys.argv[1]);import main_job as b\nfrom pathlib import Path\n"
        "case=next(c for c in b.CASES if c.name==sys.argv[2])\n"
        "data=Path(sys.argv[3]);feeds=iter(b._images(case,data))\n"
        "class R(q.CalibrationDataReader):\n  def get_next(self): return next(feeds,None)\n"
        "t=time.perf_counter()\n"
        "q.quantize_static(str(data/'models'/(case.name+'.onnx')),sys.argv[4],R(),per_channel=True)\n"
        "print(json.dumps({'seconds':time.perf_counter()-t,"
        "'peak_rss_mb':resource.getrusage(resource.RUSAGE_SELF).ru_maxrss/1e3}))\n"
    )
    with tempfile.TemporaryDirectory() as folder:
        here = str(Path(__file__).resolve().parent)
        command = [sys.executable, "-c", code, here, case.name, str(data), f"{folder}/out.onnx"]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
    return dict(json.loads(done.stdout.strip().splitlines()[-1]))


def _images(case: Case, data: Path) -> list[dict[str, Any]]:
    from passes.execution.dataset import graph_inputs, open_dataset
    from passes.execution.preprocess import Preprocess
    from passes.ir.onnx_io import read_model

    inputs = graph_inputs(read_model(data / "models" / f"{case.name}.onnx").graph)
    return list(open_dataset(str(data / case.calib), inputs, Preprocess.parse(case.preprocess)).batches(1))


def hawq(data: Path) -> dict[str, Any]:
    """Solve the nine published problems by the command line and compare with the published optima."""
    problem = data / "fixtures" / "hawq_resnet18_problem.json"
    optima = json.loads((data / "fixtures" / "hawq_resnet18_optimum.json").read_text())
    right, slowest = 0, 0.0
    from passes.allocation import AllocationProblem, parse_budget, solver

    loaded = AllocationProblem.load(problem)
    for name, optimum in optima.items():
        metric, fraction = name.split()
        start = time.perf_counter()
        found = solver("ilp").solve(loaded, [parse_budget(f"{metric}={fraction}f", loaded)])
        slowest = max(slowest, time.perf_counter() - start)
        chosen = zip(loaded.layers, found.choices, strict=True)
        bits = "".join(str(layer.choices[index].weight_bits) for layer, index in chosen)
        right += bits == optimum["bits"]
    return {"optima": right, "of": len(optima), "slowest_s": slowest}


def generated() -> list[dict[str, Any]]:
    """Solve generated problems of 2,000 layers, 49 choices and two budgets."""
    from generated_problem import generated_problem

    from passes.allocation import parse_budget, solver

    facts = []
    for seed in range(5):
        problem = generated_problem(seed=seed)
        budgets = [parse_budget(text, problem) for text in ("latency_s=0.3f", "weight_bytes=0.4f")]
        start = time.perf_counter()
        found = solver("ilp").solve(problem, budgets)
        seconds = time.perf_counter() - start
        gap = (found.loss - found.bound) / found.loss
        facts.append({"seed": seed, "status": found.status, "gap": gap, "seconds": round(seconds, 3)})
    return facts


def help_seconds() -> float:
    """Return the median seconds of ``qtool --help``."""
    times = []
    for _ in range(7):
        start = time.perf_counter()
        subprocess.run([sys.executable, "-m", "qtool", "--help"], check=True, capture_output=True)
        times.append(time.perf_counter() - start)
    return sorted(times)[3]


def table(results: dict[str, Any]) -> str:
    """Return the README's table."""
    head = (
        "model",
        "float",
        "8/8",
        "at 0.5x latency",
        "best uniform up to 0.55x",
        "packed = QDQ",
        ".qpk overhead",
    )
    rows = [" | ".join(("", *head, "")).strip(), "|---" * len(head) + "|"]
    for name, entry in results["models"].items():
        eight, half, best = entry["w8a8"], entry["half_latency"], entry["best_uniform_within_0.55"]
        cells = (
            name,
            _percent(entry["float"]),
            _percent(eight["top1"]),
            f"{_percent(half['top1'])} ({half['latency_ratio']:.3f}x)",
            f"{_percent(best['top1'])} ({best['precision']}, {best['cost']:.3f}x)",
            f"{half['max_lsb_per_layer']:.0f} LSB, {_percent(half['agreement_packed_vs_qdq'])}",
            _percent(half["qpk_overhead"]),
        )
        rows.append(" | ".join(("", *cells, "")).strip())
    return "\n".join(rows)


def _percent(value: float) -> str:
    return f"{100 * value:.2f} %"


def main() -> None:
    """Measure, write and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--models", default=",".join(case.name for case in CASES))
    parser.add_argument("--only", choices=("models", "half", "uniform", "speed", "solver"), default=None)
    arguments = parser.parse_args()
    results: dict[str, Any] = json.loads(RESULTS.read_text()) if RESULTS.exists() else {"models": {}}
    results["machine"] = environment() | {"threads": THREADS}
    with tempfile.TemporaryDirectory() as folder:
        for case in [case for case in CASES if case.name in arguments.models.split(",")]:
            if arguments.only in (None, "models"):
                results["models"][case.name] = measure(case, arguments.data, Path(folder))
                print(json.dumps({case.name: results["models"][case.name]["half_latency"]}), flush=True)
            if arguments.only in ("half", "uniform"):
                found = (
                    half(case, arguments.data, Path(folder))
                    if arguments.only == "half"
                    else uniform(case, arguments.data)
                )
                results["models"][case.name] |= found
                print(json.dumps({case.name: found}), flush=True)
        if arguments.only in (None, "speed"):
            results["speed"] = speed(CASES[0], arguments.data, Path(folder))
    if arguments.only in (None, "solver"):
        results |= {"hawq": hawq(arguments.data), "generated": generated(), "help_s": help_seconds()}
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(results, indent=1) + "\n")
    print(table(results))
    print(json.dumps({key: value for key, value in results.items() if key != "models"}, indent=1))


if __name__ == "__main__":
    main()
