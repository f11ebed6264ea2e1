"""Policies differ by hardware: bits allocated for one machine, priced on every other.

    python benchmarks/policies.py --data ../shared/data [--share 0.6]

Allocates MobileNetV2 for every built-in machine at a share of its own cost at 8 bits (latency where the
machine estimates it, BOPs elsewhere), prices each policy on all machines, and writes
benchmarks/results/policies.json and docs/policies.md with its figures.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from environment import environment

from hwmodels import HardwareModel, Metric, Precision, load_target
from hwmodels.registry import BUILTIN
from passes.allocation import Budget, solver
from passes.allocation.allocate import Allocate
from passes.allocation.build import build_problem, uniform_bits
from passes.allocation.feasibility import InfeasibleBudgetError
from passes.analysis.between import BetweenLayers
from passes.analysis.cost import Costs, price_plan
from passes.analysis.scaled import ScaledAttribution
from passes.api import PassContext
from passes.execution.dataset import graph_inputs, open_dataset
from passes.execution.preprocess import Preprocess
from passes.ir.onnx_io import read_model
from passes.ir.setup import quantizer_setup
from passes.manager import PassManager
from passes.pipeline import parse

if TYPE_CHECKING:
    from collections.abc import Mapping

    from passes.analysis.sensitivity import SensitivityTable
    from passes.ir.model import Model

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "policies.json"
EIGHT = Precision(8, 8)


@dataclass(frozen=True)
class Allocated:
    """Bits of every layer, and the loss that the sensitivities expect of them."""

    policy: Mapping[str, Precision]
    loss: float


def main() -> None:
    """Allocate, price across, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--share", type=float, default=0.6)
    arguments = parser.parse_args()
    document = measure(arguments.data, arguments.share)
    RESULTS.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    from policy_pages import write_pages

    write_pages(document, ROOT / "docs")


def measure(data: Path, share: float) -> dict[str, Any]:
    """Return policies, their losses and their cost on every machine relative to 8 bits there."""
    model, losses = prepared(data)
    machines = {name: load_target(name) for name in BUILTIN}
    found = {name: allocated(model, losses, machine, share) for name, machine in machines.items()}
    table = {
        name: {other: relative_cost(model, machine, it.policy) for other, machine in machines.items()}
        for name, it in found.items()
    }
    return environment() | {
        "model": Path(model.path).name,
        "share": share,
        "metric": {name: metric_of(machine).value for name, machine in machines.items()},
        "relative_cost": table,
        "feasible": {name: table[name][name] <= share * (1 + 1e-9) for name in machines},
        "loss": {name: it.loss for name, it in found.items()},
        "policies": {
            name: {layer: str(pair) for layer, pair in it.policy.items()} for name, it in found.items()
        },
    }


def prepared(data: Path) -> tuple[Model, SensitivityTable]:
    """Return MobileNetV2 after its transforms, and what each layer loses at 2 to 8 bits."""
    model = read_model(data / "models" / "mobilenet_v2_1.0_224.onnx")
    ctx = PassContext(load_target("generic"))
    ctx.calibration = open_dataset(
        str(data / "imagenet" / "calib"), graph_inputs(model.graph), Preprocess.parse("tf")
    )
    PassManager(parse("canonicalize,fold-batchnorm,equalize")).run(model, ctx)
    ctx.observes = Allocate(minimize="size").observes
    return model, ctx.get(ScaledAttribution(), model)


def metric_of(machine: HardwareModel) -> Metric:
    """Return what the budget is on."""
    return Metric.LATENCY if Metric.LATENCY in machine.metrics else Metric.BOPS


def allocated(model: Model, losses: SensitivityTable, machine: HardwareModel, share: float) -> Allocated:
    """Return the policy of least loss within the share, or the cheapest where the share is out of reach."""
    ctx, metric = PassContext(machine), metric_of(machine)
    setup = quantizer_setup(model.graph, machine)
    between = ctx.get(BetweenLayers(), model)
    problem = build_problem(setup, ctx.get(Costs(), model), losses, machine, {}, between)
    eight, _ = price_plan(model, ctx, uniform_bits(setup, EIGHT, {}))
    limit = share * float(eight.get(metric) or 0.0)
    try:
        found = solver("ilp").solve(problem, [Budget(metric.value, limit)])
    except InfeasibleBudgetError as error:
        found = solver("ilp").solve(problem, [Budget(metric.value, error.least[metric.value] * (1 + 1e-6))])
    taken = [layer.choices[index] for layer, index in zip(problem.layers, found.choices, strict=True)]
    names = [layer.name for layer in problem.layers]
    policy = {name: Precision(*it.pair) for name, it in zip(names, taken, strict=True)}
    return Allocated(policy, found.loss)


def relative_cost(model: Model, machine: HardwareModel, policy: Mapping[str, Precision]) -> float:
    """Return the cost of a policy on a machine, as a share of 8 bits there."""
    ctx, metric = PassContext(machine), metric_of(machine)
    eight = uniform_bits(quantizer_setup(model.graph, machine), EIGHT, {})
    cost, reference = (float(price_plan(model, ctx, it)[0].get(metric) or 0.0) for it in (policy, eight))
    return cost / reference


if __name__ == "__main__":
    main()
