"""What further rows of few bits buy on a machine of one width, against plain rounding and GPTQ.

    python benchmarks/multipoint.py --data ../shared/data [--model resnet20 --setting w4a8 --only points-1.25]

Calibrates on the calibration images alone, measures on the evaluation images. Each entry of
benchmarks/results/multipoint.json has the accuracy beside work, weights, time and energy on a machine, all
relative to the same bits without points. Entries that are there already are not measured again.
"""

from __future__ import annotations

import argparse
import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
from accuracy import CASES, HEAD, Case, compared, elapsed, open_set
from environment import environment

from hwmodels import load_target
from passes.analysis.cost import price_plan
from passes.api import PassContext
from passes.execution.session import Level, Session
from passes.ir.model import Model
from passes.ir.onnx_io import read_model, to_proto
from passes.ir.setup import quantizer_setup
from passes.lowering.encoding import Form
from passes.lowering.qdq import emit_qdq
from passes.manager import PassManager
from passes.pipeline import parse

RESULTS = Path(__file__).resolve().parent / "results" / "multipoint.json"
MODELS, SETTINGS = ("resnet20", "squeezenet", "mobilenet_v2", "minilm"), ("w4a8", "w3a8", "w2a8")
MACHINE = "bitfusion"
"""Prices every entry; its width is that of the setting everywhere."""
TAILS = {
    "plain": "assign-scales,bias-correction",
    "gptq": "assign-scales,gptq,bias-correction",
    "paper-1.25": "assign-scales,multipoint{growth=1.25 sweeps=0},bias-correction",
    "points-1.1": "assign-scales,multipoint{growth=1.1},gptq,bias-correction",
    "points-1.25": "assign-scales,multipoint{growth=1.25},gptq,bias-correction",
    "points-1.5": "assign-scales,multipoint{growth=1.5},gptq,bias-correction",
    "weights-1.25": "assign-scales,multipoint{growth=1.25 price=weights},gptq,bias-correction",
}
"""``paper``: rounding to the nearest throughout. ``points``: the growth is one of products."""


def main() -> None:
    """Measure what is missing, and write after every entry."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--model", choices=CASES, action="append")
    parser.add_argument("--setting", action="append")
    parser.add_argument("--only", choices=TAILS, action="append")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--samples", type=int, help="evaluate the first so many; all of them by default")
    asked = parser.parse_args()
    entries = json.loads(asked.out.read_text())["entries"] if asked.out.exists() else []
    models = asked.model or MODELS
    for name, setting, method in itertools.product(models, asked.setting or SETTINGS, asked.only or TAILS):
        key = {"model": name, "setting": setting, "method": method, "tail": TAILS[method]}
        key["samples"] = asked.samples
        if any(key.items() <= entry.items() for entry in entries):
            continue
        found = key | measure(CASES[name], asked, setting, TAILS[method])
        print(json.dumps(found), flush=True)
        entries.append(found | {"environment": environment()})
        asked.out.write_text(json.dumps({"entries": entries}, indent=1) + "\n")


def measure(case: Case, asked: argparse.Namespace, setting: str, tail: str) -> dict[str, Any]:
    """Quantize one model, compare it with itself in float, and price it with and without its points."""
    workers, limit = asked.workers, asked.samples
    model = read_model(asked.data / "models" / f"{case.file}.onnx")
    calibration, evaluation = (open_set(model, case, asked.data / part) for part in (case.calib, case.eval))
    ctx = PassContext(load_target("generic"), calibration=calibration, seed=0, workers=workers)
    reference = Session(to_proto(model), threads=workers).run_all(evaluation.batches(16, limit))[0]
    passes = parse(f"{HEAD},allocate{{uniform={setting}}},{tail}")
    spent = elapsed(lambda: PassManager(passes).run(model, ctx))
    proto = emit_qdq(model, quantizer_setup(model.graph, ctx.target), Form.QDQ)
    found = Session(proto, Level.BASIC, workers).run_all(evaluation.batches(16, limit))[0]
    labels = np.asarray(evaluation.labels)[: len(found)] + case.offset
    ctx.target = load_target(MACHINE)
    return compared(reference, found, labels) | relative_cost(model, ctx) | {"seconds": round(spent, 1)}


def relative_cost(model: Model, ctx: PassContext) -> dict[str, float]:
    """Return work, weights, latency and energy, each over that of the plan without points."""
    bits = {name: layer.precision for name, layer in model.plan.layers.items()}
    wide, narrow = (price_plan(model, ctx, bits, points=points)[0] for points in (True, False))
    quantities = ("bops", "weight_bytes", "latency_s", "energy_j")
    return {name: round(getattr(wide, name) / getattr(narrow, name), 4) for name in quantities}


if __name__ == "__main__":
    main()
