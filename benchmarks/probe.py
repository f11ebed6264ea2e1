"""Is a probed machine right? Predicted against measured latency of networks, and the order of their layers.

    python benchmarks/probe.py --data ../shared/data [--threads N] [--repeat R] [--machine FILE]

Probes this machine (or takes a machine file), predicts five networks in float32 and at 8/8 as `qtool lower`
writes them, and measures the same in ONNX Runtime. Writes benchmarks/results/probe.json (with several
threads, probe_N_threads.json) with date and versions, and prints a table.
"""

from __future__ import annotations

import argparse
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

from environment import environment
from main_job import CASES, Case

from hwmodels import (
    Elementwise,
    ElementwiseStep,
    HardwareModel,
    Precision,
    load_target,
    network_cost,
)
from passes.analysis.between import BetweenLayers
from passes.analysis.workloads import Workloads
from passes.api import PassContext
from passes.execution.dataset import graph_inputs, open_dataset
from passes.execution.preprocess import Preprocess
from passes.execution.profile import NodeTime, profile_nodes, wall_s
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

RESULTS = Path(__file__).resolve().parent / "results"
PREPARE = "canonicalize,fold-batchnorm"
QUANTIZE = "allocate{uniform=w8a8},assign-scales{weights=minmax}"
CALIBRATION_SAMPLES = 8
"""Ranges of activations decide which Clips a runtime may drop; nothing else here depends on data."""

LAYER_OPS = ("Conv", "FusedConv", "QLinearConv", "Gemm", "FusedGemm", "QGemm", "MatMul", "QLinearMatMul")
INTEGER_OPS = ("QLinearConv", "QGemm", "QLinearMatMul")
ROUNDS, RUNS = 12, 8
FLOAT, EIGHT = Precision(32, 32), Precision(8, 8)


@dataclass(frozen=True, eq=False)
class Network:
    """One network at one precision.

    Attributes:
        name: of the model.
        pair: its precision everywhere.
        proto: what ONNX Runtime is given.
        predicted_s: by the machine file.
        layers: predicted seconds of every layer.
        aliases: names under which a profile may show each layer.
    """

    name: str
    pair: Precision
    proto: onnx.ModelProto
    predicted_s: float
    layers: dict[str, float]
    aliases: dict[str, tuple[str, ...]]


def networks(case: Case, data: Path, machine: HardwareModel, threads: int) -> list[Network]:
    """Predict one network in float32 and at 8/8."""
    model = read_model(data / "models" / f"{case.name}.onnx")
    ctx = PassContext(load_target("generic"), workers=threads)
    inputs = graph_inputs(model.graph)
    ctx.calibration = open_dataset(
        str(data / case.calib), inputs, Preprocess.parse(case.preprocess), CALIBRATION_SAMPLES
    )
    PassManager(parse(PREPARE)).run(model, ctx)
    protos = {FLOAT: to_proto(model)}
    PassManager(parse(QUANTIZE)).run(model, ctx)
    [protos[EIGHT]] = lower_forms(model, ctx.target, ("qdq",)).qdq.values()
    names = _aliases(model)
    return [
        Network(case.name, pair, proto, *predict(model, machine, pair), names)
        for pair, proto in protos.items()
    ]


def predict(model: Model, machine: HardwareModel, pair: Precision) -> tuple[float, dict[str, float]]:
    """Return the seconds of a network whose tensors all have one precision, in total and by layer.

    ONNX Runtime runs a layer on integers only where its result is quantized. One whose result leaves the
    network in floating point runs in float32, and its weights are dequantized first.
    """
    ctx = PassContext(machine)
    works, setup = ctx.get(Workloads(), model), quantizer_setup(model.graph, machine)
    bits = {group.name: pair.act_bits for group in setup.groups}
    steps = [entry.at(bits) for entry in ctx.get(BetweenLayers(), model)]
    pairs = dict.fromkeys(works, pair)
    for name in _float_layers(model) if pair != FLOAT else ():
        pairs[name] = FLOAT
        weights = Elementwise.conversion(name, works[name].weight_count)
        steps.append(ElementwiseStep(weights, pair.weight_bits, FLOAT.weight_bits))
    cost = network_cost(machine, tuple(works.values()), list(pairs.values()), None, steps)
    by_layer = {name: layer.latency_s or 0.0 for name, layer in zip(works, cost.layers, strict=True)}
    return cost.total.latency_s or 0.0, by_layer


def _float_layers(model: Model) -> list[str]:
    setup = quantizer_setup(model.graph)
    nodes = {node.name: node for node in model.graph.nodes}
    quantized = setup.group_of()
    ends = {layer.name: nodes[setup.fused.get(layer.name, layer.name)] for layer in setup.layers}
    return [name for name, node in ends.items() if node.outputs[0].name not in quantized]


def fastest_s(found: list[Network], threads: int) -> list[float]:
    """Return the fastest run of every network; rounds over all of them outlast disturbances of one."""
    sessions = [Session(network.proto, threads=threads) for network in found]
    feeds = [_feeds(network.proto) for network in found]
    best = [float("inf")] * len(found)
    for _ in range(ROUNDS):
        for at, session in enumerate(sessions):
            best[at] = min(best[at], *wall_s([session], feeds[at], RUNS))
    return best


def layer_times(network: Network, threads: int) -> dict[str, NodeTime]:
    """Return the profile of every layer that can be found in it, by the layer's name."""
    nodes = profile_nodes(network.proto, _feeds(network.proto), ROUNDS * RUNS, threads)
    times = {_plain(node.name): node for node in nodes if node.op in LAYER_OPS}
    seen = {name: [times[it] for it in names if it in times] for name, names in network.aliases.items()}
    return {name: nodes[0] for name, nodes in seen.items() if nodes}


def compared(
    network: Network, measured_s: float, threads: int
) -> tuple[dict[str, Any], list[tuple[float, float]]]:
    """Return the figures of a network, and the predicted and measured seconds of its layers."""
    times = layer_times(network, threads)
    pairs = [(network.layers[name], node.typical_s) for name, node in times.items()]
    figures = {
        "predicted_s": network.predicted_s,
        "measured_s": measured_s,
        "ratio": network.predicted_s / measured_s,
        "layer_rank_correlation": rank_correlation(pairs),
        "layers": len(pairs),
        "integer_layers": sum(node.op in INTEGER_OPS for node in times.values()),
        "missing": sorted(network.layers.keys() - times.keys()),
    }
    return figures, pairs


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
    results: dict[str, Any] = environment() | {"threads": arguments.threads, "models": {}}
    with tempfile.TemporaryDirectory() as folder:
        file = arguments.machine or Path(folder) / "probed.toml"
        if arguments.machine is None:
            request = ProbeRequest(file, arguments.threads, arguments.repeat)
            results["probe"] = run_probe(request, lambda *_: None)
        machine = load_target(str(file))
        results["file"] = file.read_text(encoding="utf-8").splitlines()
    found = [it for case in CASES for it in networks(case, arguments.data, machine, arguments.threads)]
    pooled: dict[str, list[tuple[float, float]]] = {}
    for network, measured_s in zip(found, fastest_s(found, arguments.threads), strict=True):
        figures, pairs = compared(network, measured_s, arguments.threads)
        pooled.setdefault(str(network.pair), []).extend(pairs)
        results["models"].setdefault(network.name, {})[str(network.pair)] = figures
        shown = (f"{value:.4g}" if isinstance(value, float) else str(value) for value in figures.values())
        print(network.name, network.pair, *shown, flush=True)
    results["layer_rank_correlation"] = {pair: rank_correlation(it) for pair, it in pooled.items()}
    print("all layers", results["layer_rank_correlation"])
    name = "probe.json" if arguments.threads == 1 else f"probe_{arguments.threads}_threads.json"
    (RESULTS / name).write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
