"""What fine-tuning buys: plans before and after it, at equal cost, on CIFAR-10.

    python benchmarks/training.py --data ../shared/data [--runs "haq*" --seed 0 --steps 800 --mobilenet FILE]

Plans come from the passes without gradients or from those that learn bits (`benchmarks/training_runs.py`),
calibrated on 1,000 images, and are fine-tuned on the training images with their labels and the float model as
teacher; first and last layer and the input are quantized as well. Each entry of
benchmarks/results/training.json has the accuracies before and after, those of the trained network in PyTorch
and packed beside those of Q/DQ, costs over those of uniform 8 bits, and the processor time. Entries that are
there already are not measured again. The small MobileNetV2 comes from `benchmarks/mobilenet_cifar.py`.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from dataclasses import asdict
from fnmatch import fnmatch
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from environment import environment
from training_runs import PREPROCESS, Run, networks, runs

from passes.execution.dataset import graph_inputs, open_dataset
from passes.execution.preprocess import Preprocess
from passes.ir.onnx_io import read_model
from passes.transform.finetune import Finetune
from qtool import QuantizeRequest, run_quantize
from qtool.finetune import FinetuneRequest, run_finetune
from qtool.prepared import prepare

if TYPE_CHECKING:
    from hwmodels import Cost

RESULTS = Path(__file__).resolve().parent / "results" / "training.json"
COSTS = ("latency_s", "energy_j", "weight_bytes", "bops")


def main() -> None:
    """Measure what is missing, and write after every entry."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--mobilenet", type=Path, default=Path("mobilenet_cifar10.onnx"))
    parser.add_argument("--runs", default="*", help="pattern of names")
    parser.add_argument("--seed", type=int, action="append")
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--search", type=int, default=400, help="steps of passes that learn bits")
    parser.add_argument("--rate", type=float, default=2e-3, help="of weights; scales learn by half of it")
    parser.add_argument("--images", type=int, default=5000, help="to evaluate on, the first so many")
    parser.add_argument("--results", type=Path, default=RESULTS)
    options = parser.parse_args()
    step = tuning(options.steps, options.rate)
    for seed in options.seed or [0]:
        for run in (it for it in runs() if fnmatch(it.key, options.runs)):
            key = f"{run.key}; {options.steps} steps at {options.rate:g}, seed {seed}"
            found = json.loads(options.results.read_text()) if options.results.exists() else {"entries": {}}
            if key not in found["entries"]:
                entry = measure(options, run, seed, step) | {"run": asdict(run), "seed": seed}
                found["entries"][key] = entry | {"environment": environment() | {"torch": version("torch")}}
                options.results.write_text(json.dumps(found, indent=1) + "\n")
            print(key, json.dumps(found["entries"][key]["top1"]), flush=True)


def tuning(steps: int, rate: float) -> Finetune:
    """Return how plans are fine-tuned: gently, as most of them lose less than a point to begin with."""
    rates = {"rate": rate, "step_rate": rate / 2, "bias_rate": rate / 20}
    return Finetune(steps=steps, mirror=True, shift=2, warm_up=20, checks=4, held=2000, **rates)


def measure(options: argparse.Namespace, run: Run, seed: int, step: Finetune) -> dict[str, Any]:
    """Compile, fine-tune, and compare."""
    cifar, preprocess = options.data / "cifar10", Preprocess.parse(PREPROCESS)
    model = networks(options.data, options.mobilenet)[run.network]
    with tempfile.TemporaryDirectory() as folder:
        first, second = Path(folder) / "first", Path(folder) / "second"
        held_out, train = str(Path(folder) / "eval.npz"), str(cifar / "train_jpeg.npz")
        images = np.load(cifar / "eval.npz")
        np.savez(held_out, **{name: images[name][: options.images] for name in images.files})
        common = {"model": model, "eval": held_out, "preprocess": preprocess, "seed": seed, "workers": 1}
        common |= {"train": train, "target": run.target, "forms": ("qdq", "packed")}
        start = time.process_time()
        before = run_quantize(
            QuantizeRequest(
                calib=str(cifar / "calib.npz"),
                out=first,
                quality_plans=0,
                pipeline=run.pipeline(options.search),
                **common,
            ),
            told,
        )
        middle = time.process_time()
        after = run_finetune(FinetuneRequest(plan=first / "plan.json", out=second, step=step, **common), told)
        end = time.process_time()
        trained = bridge_accuracy(model, second / "plan.json", held_out, preprocess)
    return {
        "top1": {
            "float": after.metric.float, "before": before.metric.quantized,
            "fine-tuned": after.metric.quantized, "packed": after.metric.packed, "in PyTorch": trained,
        },
        "ratios": ratios(after.cost, after.cost_8bit),
        "compression": 4 * after.cost_8bit.weight_bytes / after.cost.weight_bytes,
        "pipeline": run.pipeline(options.search),
        "cpu_s": {"before": middle - start, "fine-tuning": end - middle},
        "options": {name: value for name, value in asdict(step).items() if value != ""},
        "checks": [line.message for line in after.journal if line.source == "finetune"],
    }  # fmt: skip


def ratios(cost: Cost, eight: Cost) -> dict[str, float]:
    """Return costs over those of uniform 8 bits, of what the machine estimates."""
    known = [name for name in COSTS if getattr(eight, name)]
    return {name: getattr(cost, name) / getattr(eight, name) for name in known}


def told(stage: str, done: int, total: int) -> None:
    """Print where a long stage stands, now and then."""
    if done % 200 == 0:
        print(f"{stage}: {done} of {total}, {time.process_time():.0f} s of processor time", flush=True)


def bridge_accuracy(model: Path, plan: Path, held_out: str, preprocess: Preprocess) -> float:
    """Return the share of right classes of what was trained, in PyTorch."""
    import torch

    from passes.training.simulation import Simulation
    from passes.training.threads import threads

    opened = read_model(model)
    simulation = Simulation.of(opened, prepare(opened, plan))
    data = open_dataset(held_out, graph_inputs(opened.graph), preprocess)
    found = []
    with torch.no_grad(), threads(1):
        for feeds in data.batches(100):
            read = {
                name: simulation.steps[name](torch.from_numpy(value)) if name in simulation.steps else value
                for name, value in feeds.items()
            }
            (result,) = simulation.bridge.run({**read, **simulation.constants}, (), simulation.steps).values()
            found.append(result.numpy().argmax(axis=1))
    return float((np.concatenate(found) == data.labels).mean())


if __name__ == "__main__":
    main()
