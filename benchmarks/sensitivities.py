"""What each sensitivity is worth: rank correlation of predicted with measured loss over random plans.

    python benchmarks/sensitivities.py --data ../shared/data [--models NAME,...] [--plans 200] [--samples 0]
        [--calibration 0]

Plans are run by the simulator on integer kernels, on calibration data. Writes
benchmarks/results/sensitivities.json, with costs in passes of the float model over the same samples; results
of models that are not asked for are kept. Sensitivities whose extra is not installed are left out.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from environment import environment

from hwmodels import load_target
from passes.analysis.changes import OutputReference
from passes.analysis.names import find_sensitivity, installed_sensitivities
from passes.analysis.quality import predicted_loss, random_bits, rank_correlation
from passes.api import PassContext
from passes.execution.collect import HISTOGRAMS, MEANS, PATCHES, CollectActivations
from passes.execution.dataset import graph_inputs, open_dataset
from passes.execution.metrics import agreement
from passes.execution.preprocess import Preprocess
from passes.execution.simulator import Simulator
from passes.ir.model import Model
from passes.ir.onnx_io import read_model
from passes.ir.plan import QuantPlan
from passes.ir.setup import quantizer_setup
from passes.ir.specs import plan_of_bits
from passes.manager import PassManager
from passes.pipeline import parse
from passes.rounding.local import LocalRoundings
from passes.transform.assign_scales import AssignScales
from passes.transform.bias_correction import BiasCorrection

RESULTS = Path(__file__).resolve().parent / "results" / "sensitivities.json"
CIFAR = "mean=0.485,0.456,0.406 std=0.229,0.224,0.225"
THREADS = 2
LOSSES = ("divergence", "noise", "disagreement")


@dataclass(frozen=True)
class Case:
    """A model, its calibration data, and how many samples plans are measured on."""

    name: str
    calib: str
    preprocess: str
    samples: int


CASES = (
    Case("resnet20_cifar10", "cifar10/calib.npz", CIFAR, 500),
    Case("mobilenet_v2_1.0_224", "imagenet/calib", "tf", 250),
    Case("squeezenet1_1", "imagenet/calib", "imagenet", 250),
    Case("vit_mnist", "mnist/calib.npz", "mean=0.1307 std=0.3081", 500),
)


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--models", default=",".join(case.name for case in CASES))
    parser.add_argument("--plans", type=int, default=200)
    parser.add_argument("--samples", type=int, default=0, help="0: as many as the case says")
    parser.add_argument("--calibration", type=int, default=0, help="calibration samples; 0: all")
    options = parser.parse_args()
    document = json.loads(RESULTS.read_text()) if RESULTS.exists() else {"models": {}}
    for case in CASES:
        if case.name in options.models.split(","):
            found = measure(case, options)
            document["models"][case.name] = found | {"environment": environment()}
            RESULTS.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
            print(case.name, json.dumps(found, indent=1), flush=True)


def measure(case: Case, options: argparse.Namespace) -> dict[str, Any]:
    """Return correlations and costs for one model."""
    plans, samples = options.plans, options.samples or case.samples
    model, ctx = prepare(case, options.data, options.calibration or None)
    setup = quantizer_setup(model.graph, ctx.target)
    ctx.get(CollectActivations(), model)
    simulator = Simulator(model, setup, ctx.calibration, THREADS, samples)
    reference = simulator.reference()
    whole = Simulator(model, setup, ctx.calibration, THREADS)
    whole.reference()
    one_pass = min(timed(whole.run_float)[0] for _ in range(2))
    tables, costs = {}, {}
    for name in installed_sensitivities():
        analysis = find_sensitivity(name)()
        costs[name], tables[name] = timed(lambda analysis=analysis: ctx.get(analysis, model))
    distance, rng = OutputReference(reference), np.random.default_rng(0)
    bits = [random_bits(setup, rng) for _ in range(plans)]
    losses, floats, evaluations = [], [], []
    for number, widths in enumerate(bits):
        seconds, outputs = timed(lambda widths=widths: simulator.run(plan_for(model, ctx, widths)))
        evaluations.append(seconds)
        change = distance.change(outputs)
        losses.append((change.divergence, change.noise, 1 - agreement(outputs, reference)))
        if number % 10 == 0:
            # Beside the plans, so that other work on the machine slows both alike.
            floats.append(timed(simulator.run_float)[0])
            print(case.name, number, flush=True)
    scores = {
        name: {
            loss: asdict(rank_correlation([predicted_loss(table, widths) for widths in bits], list(values)))
            for loss, values in zip(LOSSES, np.array(losses).T, strict=True)
        }
        for name, table in tables.items()
    }
    return {
        "plans": plans,
        "samples": samples,
        "calibration_samples": ctx.calibration.count,
        "float_pass_seconds": one_pass,
        "passes_of_these_samples_per_plan": float(np.median(evaluations) / np.median(floats)),
        "passes": {name: cost / one_pass for name, cost in costs.items()},
        "correlation": scores,
    }


def prepare(case: Case, data: Path, samples: int | None) -> tuple[Model, PassContext]:
    """Return a model ready for quantization, and its context."""
    model = read_model(data / "models" / f"{case.name}.onnx")
    ctx = PassContext(load_target("bitfusion"), workers=THREADS)
    steps = Preprocess.parse(case.preprocess)
    ctx.calibration = open_dataset(str(data / case.calib), graph_inputs(model.graph), steps, samples)
    PassManager(parse("canonicalize,fold-batchnorm,equalize")).run(model, ctx)
    ctx.observes = frozenset({HISTOGRAMS, MEANS, PATCHES})
    return model, ctx


def plan_for(model: Model, ctx: PassContext, bits: Any) -> QuantPlan:
    """Return the plan of given widths, with scales, weights rounded by data and corrected biases."""
    setup = quantizer_setup(model.graph, ctx.target)
    model.plan = plan_of_bits(setup, bits)
    AssignScales().run(model, ctx)
    model.plan = ctx.get(LocalRoundings(), model).plan(model.plan, setup)
    BiasCorrection().run(model, ctx)
    return model.plan


def timed(call: Callable[[], Any]) -> tuple[float, Any]:
    """Return the seconds of a call, and its result."""
    start = time.perf_counter()
    result = call()
    return time.perf_counter() - start, result


if __name__ == "__main__":
    main()
