"""What choices of ranges change on calibration samples that are held out: how defaults are chosen.

    python benchmarks/ranges.py --data ../shared/data [--model resnet20 --setting w4a4 --samples 400]

A quarter of the calibration samples is held out; scales and rounding see the others. Each entry of
benchmarks/results/ranges.json has how far the outputs are from those of the float network. Entries that are
there already are not measured again. The evaluation images are not read.
"""

from __future__ import annotations

import argparse
import itertools
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from accuracy import CASES, HEAD, Case, elapsed, open_set
from environment import environment

from hwmodels import load_target
from passes.api import PassContext
from passes.execution.dataset import Dataset
from passes.execution.session import Level, Session
from passes.execution.sources import ArraySource
from passes.ir.model import Model
from passes.ir.onnx_io import read_model, to_proto
from passes.ir.setup import quantizer_setup
from passes.lowering.encoding import Form
from passes.lowering.qdq import emit_qdq
from passes.manager import PassManager
from passes.pipeline import parse

RESULTS = Path(__file__).resolve().parent / "results" / "ranges.json"
MODELS, SETTINGS = ("resnet20", "squeezenet"), ("w4a8", "w4a4")
HELD_OUT = 4
"""One sample in so many."""
SPLIT = f"{HEAD},split-channels{{ratio=0.05}}"
PIPELINES = {
    "plain": (HEAD, "assign-scales{clip=none},bias-correction"),
    "weighted": (HEAD, "assign-scales{weighted clip=none},bias-correction"),
    "clip weights": (HEAD, "assign-scales{clip=weights clip-bits=8},bias-correction"),
    "clip acts": (HEAD, "assign-scales{clip=acts clip-bits=8},bias-correction"),
    "clip both": (HEAD, "assign-scales{clip=both clip-bits=8},bias-correction"),
    "split": (SPLIT, "assign-scales{clip=none},bias-correction"),
    "gptq": (HEAD, "assign-scales{clip=none},gptq"),
    "weighted, gptq": (HEAD, "assign-scales{weighted clip=none},gptq"),
    "clip acts, gptq": (HEAD, "assign-scales{clip=acts clip-bits=8},gptq"),
    "clip both, gptq": (HEAD, "assign-scales{clip=both clip-bits=8},gptq"),
    "split, gptq": (SPLIT, "assign-scales{clip=none},gptq"),
}


def main() -> None:
    """Measure what is missing, and write after every entry."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--model", choices=CASES, action="append")
    parser.add_argument("--setting", action="append")
    parser.add_argument("--only", choices=PIPELINES, action="append")
    parser.add_argument("--samples", type=int, help="use the first so many; all of them by default")
    parser.add_argument("--workers", type=int, default=2)
    asked = parser.parse_args()
    entries = json.loads(RESULTS.read_text())["entries"] if RESULTS.exists() else []
    wanted = itertools.product(asked.model or MODELS, asked.setting or SETTINGS, asked.only or PIPELINES)
    for name, setting, method in wanted:
        key = {"model": name, "setting": setting, "method": method, "samples": asked.samples}
        if any(key.items() <= entry.items() for entry in entries):
            continue
        found = key | measure(CASES[name], asked, setting, *PIPELINES[method])
        print(json.dumps(found), flush=True)
        entries.append(found | {"environment": environment()})
        RESULTS.write_text(json.dumps({"entries": entries}, indent=1) + "\n")


def measure(case: Case, asked: argparse.Namespace, setting: str, head: str, tail: str) -> dict[str, Any]:
    """Quantize one model on one part of the calibration samples and compare it with itself on the other."""
    model = read_model(asked.data / "models" / f"{case.file}.onnx")
    seen, held = parts(model, case, asked)
    ctx = PassContext(load_target("generic"), calibration=seen, seed=0, workers=asked.workers)
    reference = Session(to_proto(model), threads=asked.workers).run_all(held.batches(16))[0]
    passes = parse(f"{head},allocate{{uniform={setting}}},{tail}")
    spent = elapsed(lambda: PassManager(passes).run(model, ctx))
    proto = emit_qdq(model, quantizer_setup(model.graph, ctx.target), Form.QDQ)
    found = Session(proto, Level.BASIC, asked.workers).run_all(held.batches(16))[0]
    return distances(reference, found) | {"pipeline": f"{head},{tail}", "seconds": round(spent, 1)}


def parts(model: Model, case: Case, asked: argparse.Namespace) -> tuple[Dataset, Dataset]:
    """Return the calibration samples in two parts, drawn at random once and for all."""
    whole = open_set(model, case, asked.data / case.calib)
    batches = list(whole.batches(16, asked.samples))
    arrays = {name: np.concatenate([batch[name] for batch in batches]) for name in batches[0]}
    count = len(next(iter(arrays.values())))
    order = np.random.default_rng(0).permutation(count)
    cut = count // HELD_OUT

    def part(at: np.ndarray) -> Dataset:
        chosen = {name: values[at] for name, values in arrays.items()}
        names = tuple(chosen)
        source = ArraySource(names, len(at), None, chosen)
        return replace(whole, source=source, arrays=names, preprocess=None, count=len(at))

    return part(order[cut:]), part(order[:cut])


def distances(reference: np.ndarray, found: np.ndarray) -> dict[str, float]:
    """Return divergence in nats, noise over signal, and how often the class is the same, in percent."""
    first, second = (values.reshape(len(values), -1).astype(np.float64) for values in (reference, found))
    left, right = (_logarithms(values) for values in (first, second))
    return {
        "divergence": round(float((np.exp(left) * (left - right)).sum(axis=1).mean()), 4),
        "noise": round(float(np.square(second - first).mean() / first.var()), 5),
        "agreement": round(100 * float((first.argmax(axis=1) == second.argmax(axis=1)).mean()), 2),
    }


def _logarithms(logits: np.ndarray) -> np.ndarray:
    shifted = logits - logits.max(axis=1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True)))


if __name__ == "__main__":
    main()
