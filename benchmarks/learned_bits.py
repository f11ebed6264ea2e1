"""Plans whose bits are learned beside plans of the same budget whose bits are computed, one model at a time.

    python benchmarks/learned_bits.py --data ../shared/data [--method msq --model digits --seed 0 --steps 300]

Each entry of benchmarks/results/learned_bits.json has three plans: learned bits, with weights rounded by data
and fine-tuning behind; training-free bits with weights rounded by data; and the latter fine-tuned for as many
steps as the first took in all; top-1 as lowered, bytes of weights, processor time. Entries that are there
already are not measured again. `digits` is the quickstart sample, which learns from its 300 calibration
images without labels; `resnet20` learns from CIFAR-10.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from dataclasses import dataclass
from importlib.metadata import version
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from environment import environment

from passes.execution.preprocess import Preprocess
from qtool import QuantizeRequest, run_quantize

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "learned_bits.json"
PREPARED = "canonicalize,fold-batchnorm,equalize"
LEARNING = "allocate{{uniform=w8a8}},assign-scales,{method}{{steps={steps} {options} {budget}}}"
BUDGETS = {
    "ddq": ("max-size=0.4x max-bops=0.2x", "max-size=0.3x max-bops=0.15x"),
    "ddq-free": ("max-size=0.3x", "max-size=0.26x"),
    "msq": ("max-size=0.4x", "max-size=0.285x"),
    "bsq": ("max-size=0.4x", "max-size=0.285x"),
    "amed": ("metric=bops",),
}
"""Budgets of what learns bits, by name of the method; options of those that have none."""
FREE_LEVELS = "ddq-free"
"""`ddq` with free levels, beside computed bits with levels of least error. Budgets on bit operations hardly
tell it anything: levels are multiplied as bytes."""
ARRIVED = {"amed": "max-size={weight_bytes:.0f}B max-bops={bops:.0f}"}
"""Budgets of the plan computed beside one that was learned without: what that arrived at."""
ROUNDED = "assign-scales,gptq,bias-correction"
COMPUTED = f"allocate{{{{{{budget}}}}}},{ROUNDED}"


@dataclass(frozen=True)
class Subject:
    """A model and its data.

    Attributes:
        model: the .onnx file.
        calib, evaluation: .npz files.
        train: samples to learn from; ``None`` for those of `calib`.
        preprocess: how images become inputs; ``None`` where they are inputs already.
        options: of everything that trains.
    """

    model: Path
    calib: Path
    evaluation: Path
    train: Path | None
    preprocess: Preprocess | None
    options: str


def subjects(data: Path) -> dict[str, Subject]:
    """Return the models, by name."""
    sample, cifar = ROOT / "samples" / "quickstart", data / "cifar10"
    return {
        "digits": Subject(
            sample / "digits.onnx",
            sample / "digits_calib.npz",
            sample / "digits_eval.npz",
            None,
            None,
            "batch=16",
        ),
        "resnet20": Subject(
            data / "models" / "resnet20_cifar10_jpegft.onnx",
            cifar / "calib.npz",
            cifar / "eval.npz",
            cifar / "train_jpeg.npz",
            Preprocess.parse("mean=0.485,0.456,0.406 std=0.229,0.224,0.225"),
            "mirror shift=2",
        ),
    }


def main() -> None:
    """Measure what is missing, and write after every entry."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--method", choices=BUDGETS, action="append")
    parser.add_argument("--model", choices=subjects(Path()), action="append")
    parser.add_argument("--budget", action="append", help="in place of those of the method")
    parser.add_argument("--seed", type=int, action="append")
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--images", type=int, default=2000, help="to evaluate on, the first so many")
    options = parser.parse_args()
    found = json.loads(RESULTS.read_text()) if RESULTS.exists() else {"entries": {}}
    known = subjects(options.data)
    for model, method in product(options.model or known, options.method or BUDGETS):
        for budget, seed in product(options.budget or BUDGETS[method], options.seed or [0]):
            key = f"{model} {method} {budget} seed {seed}, {options.steps} steps"
            if key not in found["entries"]:
                past = plans_of(found["entries"], model, seed)
                entry = measure(known[model], (method, budget, seed), options, past)
                versions = environment() | {"torch": version("torch")}
                found["entries"][key] = entry | {"environment": versions}
                RESULTS.write_text(json.dumps(found, indent=1) + "\n")
            print(key, json.dumps(found["entries"][key]["plans"]), flush=True)


def plans_of(entries: dict[str, Any], model: str, seed: int) -> dict[str, Any]:
    """Return what is known of a model, by pipeline."""
    past = [it for key, it in entries.items() if key.startswith(f"{model} ") and f" seed {seed}, " in key]
    return {it["pipelines"][name]: plan for it in past for name, plan in it["plans"].items()}


def measure(
    subject: Subject, what: tuple[str, str, int], options: argparse.Namespace, past: dict[str, Any]
) -> dict[str, Any]:
    """Compile those of the three plans that are not known, and compare."""
    (method, budget, seed), steps = what, options.steps
    tabled = method == FREE_LEVELS
    settings = f"levels=free {subject.options}" if tabled else subject.options
    learning = LEARNING.format(method=method.split("-")[0], steps=steps, options=settings, budget=budget)
    # So short a training finds bits, but no weights as good as those that are rounded by data.
    text = f"{PREPARED},{learning},{ROUNDED},finetune{{steps={steps} {subject.options}}}"
    learned = compiled(subject, text, seed, options.images)
    computed = COMPUTED.format(budget=ARRIVED.get(method, budget).format(**learned))
    computed = f"{PREPARED},{computed.replace(',gptq', ',fit-levels,gptq') if tabled else computed}"
    pipelines = {"computed": computed}
    pipelines["computed, fine-tuned"] = f"{computed},finetune{{steps={2 * steps} {subject.options}}}"
    plans = {"learned": learned}
    for name, it in pipelines.items():
        plans[name] = past.get(it) or compiled(subject, it, seed, options.images)
    return {"float": learned["float"], "plans": plans, "pipelines": {"learned": text} | pipelines}


def told(stage: str, done: int, total: int) -> None:
    """Print where a long stage stands, now and then."""
    if done % 100 == 0:
        print(f"{stage}: {done} of {total}, {time.process_time():.0f} s of processor time", flush=True)


def compiled(subject: Subject, pipeline: str, seed: int, images: int) -> dict[str, float]:
    """Run a pipeline, and return what became of the model."""
    with tempfile.TemporaryDirectory() as folder:
        held_out = Path(folder) / "eval.npz"
        arrays = np.load(subject.evaluation)
        np.savez(held_out, **{name: arrays[name][:images] for name in arrays.files})
        start = time.process_time()
        report = run_quantize(
            QuantizeRequest(
                model=subject.model,
                calib=str(subject.calib),
                train=str(subject.train) if subject.train else None,
                eval=str(held_out),
                preprocess=subject.preprocess,
                target="generic",
                out=Path(folder) / "out",
                quality_plans=0,
                pipeline=pipeline,
                seed=seed,
                workers=1,
            ),
            told,
        )
        spent = time.process_time() - start
    found = {"top1": report.metric.quantized, "packed": report.metric.packed, "cpu_s": spent}
    found |= {
        "float": report.metric.float,
        "weight_bytes": report.cost.weight_bytes,
        "bops": report.cost.bops,
    }
    # Of 32 bits each, where there are as many bytes as weights at 8.
    found["compression"] = 4 * report.cost_8bit.weight_bytes / report.cost.weight_bytes
    return found


if __name__ == "__main__":
    main()
