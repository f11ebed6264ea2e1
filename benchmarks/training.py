"""What fine-tuning buys: the drop of uniform plans before and after, at equal cost.

    python benchmarks/training.py --data ../shared/data [--setting w4a4 --seed 0 --steps 400]

ResNet-20 on CIFAR-10 (86.62 % in float), fine-tuned on the training images with their labels and the float
model as teacher; first and last layer and the input are quantized as well. The plan to start with is that of
the passes without gradients, calibrated on 1,000 images. Each entry of benchmarks/results/training.json has
the accuracies, those of the trained network in PyTorch beside the lowered ones, and the processor time.
Entries that are there already are not measured again.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from environment import environment

from passes.execution.dataset import graph_inputs, open_dataset
from passes.execution.preprocess import Preprocess
from passes.ir.onnx_io import read_model
from passes.transform.finetune import Finetune
from qtool import QuantizeRequest, run_quantize
from qtool.finetune import FinetuneRequest, run_finetune
from qtool.prepared import prepare

RESULTS = Path(__file__).resolve().parent / "results" / "training.json"
PREPROCESS = "mean=0.485,0.456,0.406 std=0.229,0.224,0.225"
SETTINGS = ("w4a4", "w3a3", "w2a4")
PIPELINE = (
    "canonicalize,fold-batchnorm,equalize,allocate{{uniform={setting}}},assign-scales,gptq,bias-correction"
)


def main() -> None:
    """Measure what is missing, and write after every entry."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--setting", choices=SETTINGS, action="append")
    parser.add_argument("--seed", type=int, action="append")
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--images", type=int, default=5000, help="to evaluate on, the first so many")
    parser.add_argument("--results", type=Path, default=RESULTS)
    options = parser.parse_args()
    step = Finetune(steps=options.steps, mirror=True, shift=2, warm_up=20, checks=8)
    found = json.loads(options.results.read_text()) if options.results.exists() else {"entries": {}}
    for seed in options.seed or [0]:
        for setting in options.setting or SETTINGS:
            key = f"resnet20 {setting} seed {seed}, {options.steps} steps, {options.images} images"
            if key not in found["entries"]:
                entry = measure(options, setting, seed, step)
                found["entries"][key] = entry | {"environment": environment() | {"torch": version("torch")}}
                options.results.write_text(json.dumps(found, indent=1) + "\n")
            print(key, json.dumps(found["entries"][key]["top1"]), flush=True)


def measure(options: argparse.Namespace, setting: str, seed: int, step: Finetune) -> dict[str, Any]:
    """Compile, fine-tune, and compare."""
    data: Path = options.data
    model, preprocess = data / "models" / "resnet20_cifar10_jpegft.onnx", Preprocess.parse(PREPROCESS)
    with tempfile.TemporaryDirectory() as folder:
        first, second = Path(folder) / "first", Path(folder) / "second"
        held_out = str(Path(folder) / "eval.npz")
        images = np.load(data / "cifar10" / "eval.npz")
        np.savez(held_out, **{name: images[name][: options.images] for name in images.files})
        common = {"model": model, "eval": held_out, "preprocess": preprocess, "seed": seed, "workers": 1}
        start = time.process_time()
        before = run_quantize(
            QuantizeRequest(
                calib=str(data / "cifar10" / "calib.npz"),
                target="generic",
                out=first,
                quality_plans=0,
                forms=("qdq",),
                pipeline=PIPELINE.format(setting=setting),
                **common,
            ),
            told,
        )
        middle = time.process_time()
        request = FinetuneRequest(
            plan=first / "plan.json",
            train=str(data / "cifar10" / "train_jpeg.npz"),
            out=second,
            step=step,
            **common,
        )
        after = run_finetune(request, told)
        end = time.process_time()
        trained = bridge_accuracy(model, second / "plan.json", held_out, preprocess)
    return {
        "top1": {
            "float": after.metric.float, "without gradients": before.metric.quantized,
            "fine-tuned": after.metric.quantized, "packed": after.metric.packed, "in PyTorch": trained,
        },
        "weight_bytes": after.cost.weight_bytes,
        "cpu_s": {"without gradients": middle - start, "fine-tuning": end - middle},
        "options": {name: value for name, value in asdict(step).items() if value != ""},
        "checks": [line.message for line in after.journal if line.source == "finetune"],
    }  # fmt: skip


def told(stage: str, done: int, total: int) -> None:
    """Print where a long stage stands, now and then."""
    if done % 50 == 0:
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
