"""Training in half precision: gradients unscaled, scaled by numbers, and layer by layer.

    python benchmarks/half_training.py --data ../shared/data [--steps 150 --seed 0 --device cuda]

ResNet-20 on CIFAR-10 whose weights are off by normal noise of `NOISE` times their spread, trained by
stochastic gradient descent on the training images, all weights and biases, at a rate that falls to nothing
along a cosine, so that the ends of two runs can be compared. The loss is the mean cross-entropy of a batch
over `places`: 1, or as many as a result has where it is a map, whose gradients are as much smaller; the rate
is as many times as large, so that in exact numbers every run is the same, and in float32 too, as `places` is
a power of two. Top-1 is of the learned weights in float32. On a CPU fp16 is emulated, on a GPU it is its own.
Entries of benchmarks/results/half_training.json that are there already are not measured again.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from environment import environment

from hwmodels import load_target
from passes.api import PassContext
from passes.execution.dataset import Dataset, graph_inputs, open_dataset
from passes.execution.preprocess import Preprocess
from passes.ir.layers import find_layers
from passes.ir.onnx_io import read_model
from passes.manager import PassManager
from passes.pipeline import parse
from passes.training.bridge import Bridge, Values
from passes.training.course import Course
from passes.training.half_training import HalfCourse, train_half
from passes.training.loss_scaling import Scaling
from passes.training.threads import threads
from passes.training.training_data import TrainingData

if TYPE_CHECKING:
    from collections.abc import Iterator

    from passes.training.half_training import Batch

RESULTS = Path(__file__).resolve().parent / "results" / "half_training.json"
PREPROCESS = Preprocess.parse("mean=0.485,0.456,0.406 std=0.229,0.224,0.225")
RATE = 0.0005
NOISE = 0.4
PLACES = (1, 65536)
SEEDS = (0, 1, 2)
EXACT = "float32"
SCALINGS = {EXACT: None} | {f"fp16, {it}": it for it in Scaling}


@dataclass(frozen=True)
class Lab:
    """A network and its data.

    Attributes:
        bridge: the float graph, batch normalization folded.
        weights: what is learned, to start with.
        data: to learn from.
        evaluation: to judge by.
    """

    bridge: Bridge
    weights: Values
    data: TrainingData
    evaluation: Dataset

    @classmethod
    def of(cls, data: Path, device: str, seed: int) -> Lab:
        """Open ResNet-20."""
        model = read_model(data / "models" / "resnet20_cifar10_jpegft.onnx")
        PassManager(parse("canonicalize,fold-batchnorm")).run(model, PassContext(load_target("generic")))
        inputs = graph_inputs(model.graph)
        learned = open_dataset(str(data / "cifar10" / "train_jpeg.npz"), inputs, PREPROCESS)
        evaluation = open_dataset(str(data / "cifar10" / "eval.npz"), inputs, PREPROCESS)
        bridge, layers = Bridge.of(model.graph, device), find_layers(model.graph)[0]
        names = [it.weight_name for it in layers] + [it.bias.name for it in layers if it.bias is not None]
        weights = {name: bridge.constants[name].clone() for name in names}
        rng = np.random.default_rng(seed)
        for layer in layers:
            drawn = torch.from_numpy(rng.standard_normal(layer.weight.shape).astype(np.float32)).to(device)
            weights[layer.weight_name] += NOISE * weights[layer.weight_name].std() * drawn
        course = Course(batch=32, mirror=True, shift=2)
        return cls(bridge, weights, TrainingData.of(learned, course, seed), evaluation)

    def batches(self, steps: int, places: int) -> Iterator[Batch]:
        """Yield feeds, and the loss of the results."""
        device = self.bridge.device
        for step in range(steps):
            units = self.data.chosen(step)
            labels = self.data.labels(units, 10, device)
            yield self.data.feeds(units, step, device), partial(_loss, labels=labels, places=places)

    def top1(self, weights: Values) -> float:
        """Return the share of right classes."""
        found = []
        with torch.no_grad():
            for feeds in self.evaluation.batches(100):
                read = {name: torch.from_numpy(value).to(self.bridge.device) for name, value in feeds.items()}
                (result,) = self.bridge.run({**read, **weights}).values()
                found.append(result.cpu().numpy().argmax(axis=1))
        return float((np.concatenate(found) == self.evaluation.labels).mean())


def _loss(results: Values, labels: torch.Tensor, places: int) -> torch.Tensor:
    (result,) = results.values()
    return torch.nn.functional.cross_entropy(result, labels) / places


def main() -> None:
    """Measure what is missing, and write after every entry."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--scaling", choices=SCALINGS, action="append")
    parser.add_argument("--places", type=int, action="append")
    parser.add_argument("--seed", type=int, action="append")
    parser.add_argument("--steps", type=int, default=150)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    options = parser.parse_args()
    found = json.loads(RESULTS.read_text()) if RESULTS.exists() else {"entries": {}}
    wanted = product(options.seed or SEEDS, options.places or PLACES, options.scaling or SCALINGS)
    for seed, places, name in wanted:
        how = name if name == EXACT else f"{name}, {places} places"
        key = f"resnet20, {options.device}, {how}, seed {seed}, {options.steps} steps"
        if key not in found["entries"]:
            lab = Lab.of(options.data, options.device, seed)
            entry = measure(lab, SCALINGS[name], places, options.steps)
            found["entries"][key] = entry | {"environment": environment() | {"torch": version("torch")}}
            RESULTS.write_text(json.dumps(found, indent=1) + "\n")
        print(key, json.dumps(found["entries"][key]), flush=True)


def measure(lab: Lab, scaling: Scaling | None, places: int, steps: int) -> dict[str, Any]:
    """Train once."""
    start, falling = time.process_time(), Course(steps=steps, rate=RATE * places)
    course = HalfCourse(
        scaling, falling.rate, autocast=lab.bridge.device.type != "cpu", factor=falling.factor
    )
    with threads(1):
        run = train_half(lab.bridge, lab.weights, lab.batches(steps, places), course)
        spent = time.process_time() - start
        top1 = lab.top1(run.weights)
    loss = float(np.mean(run.losses[-20:])) * places
    first = float(np.mean(run.losses[:5])) * places
    return {
        "top1": top1,
        "first": first,
        "loss": loss,
        "lost": run.lost,
        "skipped": run.skipped,
        "cpu_s": spent,
    }


if __name__ == "__main__":
    main()
