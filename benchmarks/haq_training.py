"""HAQ's agent with its fine-tuning inside the episodes, on a compact network.

    python benchmarks/haq_training.py --data ../shared/data --mobilenet FILE [--episodes 40]

HAQ (arXiv 1811.08886) reports 1.4 to 1.95 times less latency and 1.9 times less energy than 8 bits at
negligible loss, with an epoch of training in every episode and more behind. Here the agent searches within
the budget, each plan is fine-tuned for a few steps and measured on calibration pictures with labels; the plan
of least loss is then fine-tuned as `benchmarks/training.py` fine-tunes plans of the exact solver, and
measured on the evaluation pictures. Entries of benchmarks/results/haq_training.json that are there already
are not measured again. The network comes from `benchmarks/mobilenet_cifar.py`.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from fnmatch import fnmatch
from importlib.metadata import version
from pathlib import Path
from typing import Any

from environment import environment
from training import ratios, told, tuning
from training_runs import PREPROCESS

import qtool
from passes.execution.preprocess import Preprocess
from qtool.finetune import FinetuneRequest, run_finetune

RESULTS = Path(__file__).resolve().parent / "results" / "haq_training.json"
BUDGETS = (
    ("bismo-edge", "latency", "0.588x"),
    ("bitfusion", "latency", "0.588x"),
    ("bitfusion", "energy", "0.526x"),
)


def main() -> None:
    """Measure what is missing, and write after every entry."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--mobilenet", type=Path, required=True)
    parser.add_argument("--budgets", default="*", help="pattern of target, metric and limit")
    parser.add_argument("--episodes", type=int, default=40)
    parser.add_argument("--episode-steps", type=int, default=40)
    parser.add_argument(
        "--samples", type=int, default=500, help="calibration pictures that plans are judged by"
    )
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    for budget in (it for it in BUDGETS if fnmatch(" ".join(it), options.budgets)):
        found = json.loads(RESULTS.read_text()) if RESULTS.exists() else {"entries": {}}
        how = f"{options.episodes} episodes of {options.episode_steps} steps, {options.steps} behind"
        key = f"{budget[0]}, {budget[1]} {budget[2]}; {how}, seed {options.seed}"
        if key not in found["entries"]:
            entry = measure(options, *budget)
            found["entries"][key] = entry | {"environment": environment() | {"torch": version("torch")}}
            RESULTS.write_text(json.dumps(found, indent=1) + "\n")
        print(key, json.dumps(found["entries"][key]["top1"]), flush=True)


def measure(options: argparse.Namespace, target: str, metric: str, limit: str) -> dict[str, Any]:
    """Search, take the plan of least loss, fine-tune and measure it."""
    cifar, start = options.data / "cifar10", time.process_time()
    common: dict[str, Any] = {
        "calib": str(cifar / "calib.npz"),
        "eval": str(cifar / "calib.npz"),
        "train": str(cifar / "train_jpeg.npz"),
        "preprocess": PREPROCESS,
        "samples": options.samples,
        "solver": "haq",
        "objectives": ["loss", metric],
        f"max_{metric}": limit,
        "evaluations": options.episodes,
        "finetune": options.episode_steps,
        "seed": options.seed,
    }
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        front = qtool.search(options.mobilenet, target=target, out=folder / "found", tell=told, **common)[
            "front"
        ]
        best = min(range(len(front)), key=lambda at: front[at]["loss"])
        middle = time.process_time()
        qtool.search(options.mobilenet, target=target, out=folder / "found", tell=told, select=best, **common)
        request = FinetuneRequest(
            model=options.mobilenet,
            plan=folder / "found" / f"point-{best}" / "plan.json",
            train=str(cifar / "train_jpeg.npz"),
            eval=str(cifar / "eval.npz"),
            preprocess=Preprocess.parse(PREPROCESS),
            out=folder / "tuned",
            step=tuning(options.steps, options.rate),
            seed=options.seed,
            workers=1,
        )
        report = run_finetune(request, told)
    metrics = report.metric
    return {
        "top1": {"float": metrics.float, "fine-tuned": metrics.quantized, "packed": metrics.packed},
        "episode_loss": front[best]["loss"],
        "ratios": ratios(report.cost, report.cost_8bit),
        "cpu_s": {"search": middle - start, "behind": time.process_time() - middle},
    }


if __name__ == "__main__":
    main()
