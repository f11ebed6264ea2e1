"""Is a probed machine right? Predicted against measured latency of networks, and the order of their layers.

    python benchmarks/probe.py --data ../shared/data [--threads N] [--repeat R] [--machine FILE]

Probes this machine (or takes a machine file), predicts five networks in float32 and at 8/8 as `qtool lower`
writes them, and measures the same in ONNX Runtime. Writes benchmarks/results/probe.json with date and
versions, and prints a table.
"""

from __future__ import annotations

import argparse
import datetime
import json
import re
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.stats import spearmanr

sys.path.insert(0, str(Path(__file__).resolve().parent))

from main_job import CASES, Case

from hwmodels import HardwareModel, Precision, load_target, network_cost
from passes.analysis.between import BetweenLayers
from passes.analysis.workloads import Workloads
from passes.api import PassContext
from passes.execution.dataset import graph_inputs, open_dataset
from passes.execution.preprocess import Preprocess
from passes.execution.profile import profile_nodes, wall_s
from passes.execution.session import Session
from passes.ir.onnx_io import read_model, to_proto
from passes.ir.setup import quantizer_setup
from passes.manager import PassManager
from passes.pipeline import parse
from qtool.lowering import lower_forms
from qtool.probe import ProbeRequest, run_probe

if TYPE_CHECKING:
    import onnx

    from passes.ir.model import Model

RESULTS = Path(__file__).resolve().parent / "results" / "probe.json"
PREPARE = "canonicalize,fold-batchnorm"
QUANTIZE = "allocate{uniform=w8a8},assign-scales{weights=minmax}"
CALIBRATION_SAMPLES = 8
"""Ranges of activations decide which Clips a runtime may drop; nothing else here depends on data."""

LAYER_OPS = ("Conv", "FusedConv", "QLinearConv", "Gemm", "FusedGemm", "QGemm", "MatMul", "QLinearMatMul")
INTEGER_OPS = ("QLinearConv", "QGemm", "QLinearMatMul")
RUNS = 40


@dataclass(frozen=True)
class Comparison:
    """One network at one precision.

    Attributes:
        predicted_s: by the machine file.
        measured_s: fastest of `RUNS` runs.
        layers: predicted and measured seconds of every layer that could be found in the profile.
        integer_layers: how many of them ran on integers.
        missing: layers that could not be found.
    """

    predicted_s: float
    measured_s: float
    layers: list[tuple[float, float]]
    integer_layers: int
    missing: list[str]

    def to_json(self) -> dict[str, Any]:
        """Return the figures of the table and what they come from."""
        return {
            "predicted_s": self.predicted_s,
            "measured_s": self.measured_s,
            "ratio": self.predicted_s / self.measured_s,
            "layer_rank_correlation": rank_correlation(self.layers),
            "layers": len(self.layers),
            "integer_layers": self.integer_layers,
            "missing": self.missing,
        }


def compare(case: Case, data: Path, machine: HardwareModel, threads: int) -> dict[Precision, Comparison]:
    """Predict and measure one network in float32 and at 8/8."""
    model = read_model(data / "models" / f"{case.name}.onnx")
    ctx = PassContext(load_target("generic"), workers=threads)
    inputs = graph_inputs(model.graph)
    ctx.calibration = open_dataset(
        str(data / case.calib), inputs, Preprocess.parse(case.preprocess), CALIBRATION_SAMPLES
    )
    PassManager(parse(PREPARE)).run(model, ctx)
    protos = {Precision(32, 32): to_proto(model)}
    PassManager(parse(QUANTIZE)).run(model, ctx)
    [protos[Precision(8, 8)]] = lower_forms(model, ctx.target, ("qdq",)).qdq.values()
    return {pair: _compare(model, machine, pair, proto, threads) for pair, proto in protos.items()}


def _compare(
    model: Model, machine: HardwareModel, pair: Precision, proto: onnx.ModelProto, threads: int
) -> Comparison:
    predicted_s, layers = predict(model, machine, pair)
    feeds = _feeds(proto)
    [measured_s] = wall_s([Session(proto, threads=threads)], feeds, RUNS)
    nodes = [node for node in profile_nodes(proto, feeds, RUNS, threads) if node.op in LAYER_OPS]
    times = {_plain(node.name): node for node in nodes}
    found, missing, integers = [], [], 0
    for name, names in _aliases(model).items():
        node = next((times[alias] for alias in names if alias in times), None)
        if node is None:
            missing.append(name)
            continue
        found.append((layers[name], node.typical_s))
        integers += node.op in INTEGER_OPS
    return Comparison(predicted_s, measured_s, found, integers, missing)


def predict(model: Model, machine: HardwareModel, pair: Precision) -> tuple[float, dict[str, float]]:
    """Return the seconds of a network whose tensors all have one precision, in total and by layer."""
    ctx = PassContext(machine)
    works = ctx.get(Workloads(), model)
    bits = {group.name: pair.act_bits for group in quantizer_setup(model.graph, machine).groups}
    steps = [entry.at(bits) for entry in ctx.get(BetweenLayers(), model)]
    cost = network_cost(machine, tuple(works.values()), [pair] * len(works), None, steps)
    by_layer = {name: layer.latency_s or 0.0 for name, layer in zip(works, cost.layers, strict=True)}
    return cost.total.latency_s or 0.0, by_layer


def _aliases(model: Model) -> dict[str, tuple[str, ...]]:
    """Return the names under which a profile may show each layer: its own, or a tensor's that it writes."""
    setup = quantizer_setup(model.graph)
    nodes = {node.name: node for node in model.graph.nodes}
    found = {}
    for layer in setup.layers:
        last = setup.fused.get(layer.name, layer.name)
        written = [nodes[name].outputs[0] for name in (layer.name, last)]
        sums = [reader for tensor in written for reader in tensor.outputs if reader.op == "Add"]
        ends = [setup.fused.get(node.name, node.name) for node in sums]
        tensors = [tensor.name for tensor in (*written, *(nodes[end].outputs[0] for end in ends))]
        found[layer.name] = (layer.name, last, *tensors)
    return found


def _plain(name: str) -> str:
    return re.sub(r"(_nchwc|_token_\d+|/.*_matmul)$", "", name)


def _feeds(proto: onnx.ModelProto) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    return {
        value.name: rng.normal(
            size=[size.dim_value or 1 for size in value.type.tensor_type.shape.dim]
        ).astype(np.float32)
        for value in proto.graph.input
    }


def rank_correlation(pairs: list[tuple[float, float]]) -> float | None:
    """Return Spearman's correlation of predicted and measured times; ``None`` below three layers."""
    return float(spearmanr(*zip(*pairs, strict=True)).statistic) if len(pairs) > 2 else None


def main() -> None:
    """Probe, compare, write and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--machine", type=Path, help="a machine file that was probed before")
    arguments = parser.parse_args()
    results: dict[str, Any] = {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "models": {},
    }
    with tempfile.TemporaryDirectory() as folder:
        file = arguments.machine or Path(folder) / "probed.toml"
        if arguments.machine is None:
            request = ProbeRequest(file, arguments.threads, arguments.repeat)
            results["probe"] = run_probe(request, lambda *_: None)
        machine = load_target(str(file))
        results["file"] = file.read_text(encoding="utf-8").splitlines()
    pooled: dict[Precision, list[tuple[float, float]]] = {}
    for case in CASES:
        for pair, found in compare(case, arguments.data, machine, arguments.threads).items():
            pooled.setdefault(pair, []).extend(found.layers)
            entry = found.to_json()
            results["models"].setdefault(case.name, {})[str(pair)] = entry
            shown = (
                f"{entry[key]:.5g}"
                for key in ("predicted_s", "measured_s", "ratio", "layer_rank_correlation")
            )
            ran = f"{found.integer_layers}/{len(found.layers)} on integers"
            print(case.name, pair, *shown, ran, found.missing, flush=True)
    results["layer_rank_correlation"] = {str(pair): rank_correlation(it) for pair, it in pooled.items()}
    print("all layers", results["layer_rank_correlation"])
    RESULTS.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
