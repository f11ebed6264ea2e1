"""What uniform precisions cost in accuracy on real networks, with confidence intervals.

    python benchmarks/accuracy.py --data ../shared/data [--model mobilenet_v2 --setting w4a8 --seed 0]

With ``--tail assign-scales,gptq,distill`` and the extra `train` it learns; ``--results`` names another file.

Calibrates on the calibration images alone, measures on the evaluation images, and writes one entry per model,
setting, seed and pipeline into the result file; entries that are there already are not measured again.
"""

from __future__ import annotations

import argparse
import itertools
import json
import resource
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from environment import environment

from hwmodels import load_target
from passes.api import PassContext
from passes.execution.dataset import Dataset, graph_inputs, open_dataset
from passes.execution.metrics import Metric, likelihood
from passes.execution.preprocess import Preprocess
from passes.execution.session import Level, Session
from passes.ir.model import Model
from passes.ir.onnx_io import read_model, to_proto
from passes.ir.setup import quantizer_setup
from passes.lowering.encoding import Form
from passes.lowering.qdq import emit_qdq
from passes.manager import PassManager
from passes.pipeline import parse
from passes.transform.distill import Distill

RESULTS = Path(__file__).resolve().parent / "results" / "accuracy.json"
CIFAR = ("cifar10/calib.npz", "cifar10/eval.npz", "mean=0.485,0.456,0.406 std=0.229,0.224,0.225", 0)
HEAD, TAIL = "canonicalize,fold-batchnorm,equalize,split-norms", "smooth,assign-scales,gptq,bias-correction"


@dataclass(frozen=True)
class Case:
    """A model with its data: file name, calibration and evaluation set, preprocessing, offset of labels.

    Without labels the model is a language model, and its drop is that of 1 / perplexity. Images that may be
    mirrored are, by `distill`.
    """

    file: str
    calib: str
    eval: str
    preprocess: str = ""
    offset: int = 0
    labels: bool = True
    mirror: bool = False


MNIST = ("mnist/calib.npz", "mnist/eval.npz", "mean=0.1307 std=0.3081")
CASES = {
    "mobilenet_v2": Case("mobilenet_v2_1.0_224", "imagenet/calib", "imagenet/eval", "tf", 1, mirror=True),
    "squeezenet": Case("squeezenet1_1", "imagenet/calib", "imagenet/eval", "imagenet", 0, mirror=True),
    "resnet20": Case("resnet20_cifar10", *CIFAR, mirror=True),
    "resnet32": Case("resnet32_cifar10", *CIFAR, mirror=True),
    "minilm": Case("minilm_l6_sst2", "text/sst2_calib.npz", "text/sst2_eval.npz"),
    "vit": Case("vit_mnist", *MNIST),
    "bigru": Case("fsdd_bigru", "audio/fsdd_calib.npz", "audio/fsdd_eval.npz"),
    "dscnn": Case("kws_dscnn_mlperf", "audio/kws_calib.npz", "audio/kws_eval.npz"),
    "stories": Case("stories260k_llama", "text/stories_calib.npz", "text/stories_eval.npz", labels=False),
}
SETTINGS = {name: f"uniform={name}" for name in ("w8a8", "w6a6", "w4a8", "w4a4", "w3a8")} | {
    "mixed": "max-size=0.5x"
}
"""Options of `allocate`. In a mixed plan weights have four bits on average, and activations eight."""


def main() -> None:
    """Measure what is missing, and write after every entry."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--model", choices=CASES, action="append")
    parser.add_argument("--setting", action="append")
    parser.add_argument("--seed", type=int, action="append")
    parser.add_argument("--tail", default=TAIL, help="passes after allocate")
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--workers", type=int, default=2)
    asked = parser.parse_args()
    results = asked.results
    entries = json.loads(results.read_text())["entries"] if results.exists() else []
    wanted = itertools.product(asked.model or CASES, asked.setting or SETTINGS, asked.seed or (0,))
    for name, setting, seed in wanted:
        key = {"model": name, "setting": setting, "seed": seed, "tail": asked.tail}
        if any(key.items() <= entry.items() for entry in entries):
            continue
        entry = key | measure(CASES[name], asked.data, setting, seed, asked.tail, asked.workers)
        entries.append(entry | {"environment": environment()})
        print(json.dumps(entry), flush=True)
        results.write_text(json.dumps({"entries": entries}, indent=1) + "\n")


def measure(case: Case, data: Path, setting: str, seed: int, tail: str, workers: int) -> dict[str, Any]:
    """Quantize one model and compare it with itself in float."""
    model = read_model(data / "models" / f"{case.file}.onnx")
    calibration, evaluation = (open_set(model, case, data / part) for part in (case.calib, case.eval))
    ctx = PassContext(load_target("generic"), calibration=calibration, seed=seed, workers=workers)
    forward = elapsed(lambda: Session(to_proto(model), threads=workers).run_all(calibration.batches(16)))
    reference = Session(to_proto(model), threads=workers).run_all(evaluation.batches(16))[0]
    passes = parse(f"{HEAD},allocate{{{SETTINGS[setting]}}},{tail}")
    passes = tuple(replace(it, mirror=case.mirror) if isinstance(it, Distill) else it for it in passes)
    spent = elapsed(lambda: PassManager(passes).run(model, ctx))
    proto = emit_qdq(model, quantizer_setup(model.graph, ctx.target), Form.QDQ)
    found = Session(proto, Level.BASIC, workers).run_all(evaluation.batches(16))[0]
    if case.labels:
        figures = compared(reference, found, np.asarray(evaluation.labels) + case.offset)
    else:
        figures = perplexities(reference, found, np.asarray(evaluation.truth(Metric("likelihood"))))
    return figures | {
        "float_passes": round(spent / forward, 1),
        "seconds": round(spent, 1),
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }


def open_set(model: Model, case: Case, path: Path) -> Dataset:
    """Open one of the data sets of a model."""
    preprocess = Preprocess.parse(case.preprocess) if case.preprocess else None
    return open_dataset(str(path), graph_inputs(model.graph), preprocess)


def elapsed(work: Any) -> float:
    """Return the processor time that a call takes, in seconds: others may use the machine as well."""
    start = time.process_time()
    work()
    return time.process_time() - start


def compared(reference: np.ndarray, found: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Return accuracies, their drop with a paired 95 % interval, in points, and the agreement of classes."""
    classes = [logits.reshape(len(logits), -1).argmax(axis=1) for logits in (reference, found)]
    lost = (classes[0] == labels).astype(float) - (classes[1] == labels)
    return {
        "float": 100 * float((classes[0] == labels).mean()),
        "quantized": 100 * float((classes[1] == labels).mean()),
        "drop": 100 * float(lost.mean()),
        "interval": 196 * float(lost.std() / np.sqrt(len(lost))),
        "agreement": 100 * float((classes[0] == classes[1]).mean()),
    }


def perplexities(reference: np.ndarray, found: np.ndarray, tokens: np.ndarray) -> dict[str, float]:
    """Return perplexities, and their ratio with a paired 95 % interval over the texts."""
    losses = np.array(
        [[-np.log(likelihood(one[None], text[None])) for one, text in zip(logits, tokens, strict=True)]
         for logits in (reference, found)]
    )  # fmt: skip
    lost = losses[1] - losses[0]
    return {
        "float": float(np.exp(losses[0].mean())),
        "quantized": float(np.exp(losses[1].mean())),
        "ratio": float(np.exp(lost.mean())),
        "interval": float(np.exp(lost.mean()) * 1.96 * lost.std() / np.sqrt(len(lost))),
    }


if __name__ == "__main__":
    main()
