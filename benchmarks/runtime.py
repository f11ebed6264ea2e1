"""Is the native engine fast? Whole networks at one sample, beside ONNX Runtime in the same process.

    python benchmarks/runtime.py --data ../shared/data [--threads N] [--rounds R] [--target NAME]

Quantizes three networks to 8/8, and to 4 and 8 bits in turn, by the rules of the target; times the native
engine, ONNX Runtime on the Q/DQ model and on the float model, and OpenVINO on both where it is installed,
by turns; and the way from a .qpk file to the first output. Writes benchmarks/results/runtime.json with date,
versions and machine, and prints a table.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent))

from environment import environment
from main_job import CASES, Case
from peers import openvino_run, peer_versions

from hwmodels import Precision, load_target
from passes.api import PassContext
from passes.artifact import Artifact
from passes.execution.dataset import graph_inputs, open_dataset
from passes.execution.preprocess import Preprocess
from passes.execution.session import Session
from passes.ir.onnx_io import read_model, to_proto
from passes.ir.setup import quantizer_setup
from passes.ir.specs import plan_of_bits
from passes.lowering.encoding import Form
from passes.manager import PassManager
from passes.numerics import RangeMethod
from passes.pipeline import parse
from passes.transform.assign_scales import AssignScales
from qtool.lowering import lower_forms
from qtool.runtime.native_engine import NativeEngine

if TYPE_CHECKING:
    import onnx

RESULTS = Path(__file__).resolve().parent / "results" / "runtime.json"
NAMES = ("mobilenet_v2_1.0_224", "squeezenet1_1", "resnet20_cifar10")
PREPARE = "canonicalize,fold-batchnorm"
CALIBRATION_SAMPLES = 8
MIXES = {"8/8": (8,), "4,8/8": (4, 8)}
"""Bits of weights that the layers take in turn; activations have 8."""
SECONDS_A_TURN = 0.05
LOADS = 7

Run = Callable[[], object]


@dataclass(frozen=True)
class Network:
    """One network in its forms: float, and by mix of bits Q/DQ and packed; and one sample."""

    name: str
    float_model: onnx.ModelProto
    qdq: dict[str, onnx.ModelProto]
    packed: dict[str, Artifact]
    feeds: dict[str, Any]


def network(case: Case, data: Path, target: str) -> Network:
    """Quantize one network to every mix."""
    path = data / "models" / f"{case.name}.onnx"
    qdq, packed, proto, feeds = {}, {}, None, {}
    for mix, weight_bits in MIXES.items():
        model = read_model(path)
        ctx = PassContext(load_target(target))
        inputs, preprocess = graph_inputs(model.graph), Preprocess.parse(case.preprocess)
        ctx.calibration = open_dataset(str(data / case.calib), inputs, preprocess, CALIBRATION_SAMPLES)
        PassManager(parse(PREPARE)).run(model, ctx)
        proto, feeds = to_proto(model), next(ctx.calibration.batches(1))
        setup = quantizer_setup(model.graph, ctx.target)
        bits = {
            layer.name: Precision(weight_bits[index % len(weight_bits)], 8)
            for index, layer in enumerate(setup.layers)
        }
        model.plan = plan_of_bits(setup, bits)
        AssignScales(method=RangeMethod.MINMAX, weights=RangeMethod.MINMAX).run(model, ctx)
        lowered = lower_forms(model, ctx.target, ("qdq", "packed"))
        if lowered.packed is None or proto is None:
            raise SystemExit(f"{case.name}: {lowered.refusal}")
        qdq[mix], packed[mix] = lowered.qdq[Form.QDQ], lowered.packed
    return Network(case.name, proto, qdq, packed, feeds)


def measure(found: Network, threads: int, rounds: int) -> dict[str, Any]:
    """Return the figures of one network."""
    engines = {mix: NativeEngine(artifact, threads) for mix, artifact in found.packed.items()}
    float_session = Session(found.float_model, threads=threads)
    sessions = {mix: Session(proto, threads=threads) for mix, proto in found.qdq.items()}
    runs: dict[str, Run] = {"ort float": lambda: float_session.run(found.feeds)}
    for mix in MIXES:
        runs[f"ort {mix}"] = lambda mix=mix: sessions[mix].run(found.feeds)  # type: ignore[misc]
        runs[f"native {mix}"] = lambda mix=mix: engines[mix].run(found.feeds)  # type: ignore[misc]
    for label, proto in (("float", found.float_model), ("8/8", found.qdq["8/8"])):
        peer = openvino_run(proto, found.feeds, threads)
        runs |= {f"openvino {label}": peer} if peer is not None else {}
    times = by_turns(runs, rounds)
    return {
        "seconds": {name: float(np.min(series)) for name, series in times.items()},
        "by_mix": {
            mix: {
                "ratio_to_qdq": ratio(times[f"ort {mix}"], times[f"native {mix}"]),
                "ratio_to_float": ratio(times["ort float"], times[f"native {mix}"]),
                "ratio_to_openvino": {
                    name.split()[1]: ratio(series, times[f"native {mix}"])
                    for name, series in times.items()
                    if name.startswith("openvino")
                },
                "ratio_to_native_8/8": ratio(times["native 8/8"], times[f"native {mix}"]),
                "load_to_first_output_s": load_s(found.packed[mix], found.feeds, threads),
                "activation_peak_bytes": engine.peak_bytes,
                "weight_bytes": sum(it.weight.data.nbytes for it in found.packed[mix].steps if it.weight),
                "reference_steps": list(engine.reference_steps),
            }
            for mix, engine in engines.items()
        },
    }


def by_turns(runs: dict[str, Run], rounds: int) -> dict[str, list[float]]:
    """Return seconds per run of every candidate in every round; a disturbance hits all of a round."""
    counts = {
        name: max(1, int(SECONDS_A_TURN / min(timed(run, 1) for _ in range(3)))) for name, run in runs.items()
    }
    times: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            times[name].append(timed(run, counts[name]))
    return times


def timed(run: Run, count: int) -> float:
    """Return seconds per run."""
    start = time.perf_counter()
    for _ in range(count):
        run()
    return (time.perf_counter() - start) / count


def ratio(baseline: list[float], candidate: list[float]) -> float:
    """Return the median over the rounds; above 1 the candidate is faster."""
    return float(np.median(np.array(baseline) / np.array(candidate)))


def load_s(artifact: Artifact, feeds: dict[str, Any], threads: int) -> float:
    """Return the fastest way from a file to the first output, with the modules imported."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.qpk"
        artifact.save(path)

        def load() -> None:
            NativeEngine(Artifact.load(path), threads).run(feeds)

        return min(timed(load, 1) for _ in range(LOADS))


def table(results: dict[str, Any]) -> str:
    """Return the figures as text."""
    heads = ("native ms", "x QDQ", "x float", "x 8/8", "x OpenVINO", "load ms", "weights kB", "arena kB")
    lines = ["".join([f"{'network':24}{'mix':8}", *(f"{head:>11}" for head in heads)])]
    for name, figures in results.items():
        for mix, it in figures["by_mix"].items():
            values = (
                1e3 * figures["seconds"][f"native {mix}"],
                it["ratio_to_qdq"],
                it["ratio_to_float"],
                it["ratio_to_native_8/8"],
                it["ratio_to_openvino"].get("8/8", float("nan")),
                1e3 * it["load_to_first_output_s"],
                it["weight_bytes"] / 1e3,
                it["activation_peak_bytes"] / 1e3,
            )
            lines.append("".join([f"{name:24}{mix:8}", *(f"{value:11.2f}" for value in values)]))
    return "\n".join(lines)


def main() -> None:
    """Measure, write and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--target", default="x86-avx2", help="whose rules of rounding hold")
    options = parser.parse_args()
    cases = [case for case in CASES if case.name in NAMES]
    networks = [network(case, options.data, options.target) for case in cases]
    results = {it.name: measure(it, options.threads, options.rounds) for it in networks}
    isa = NativeEngine(networks[0].packed["8/8"]).isa
    document = {
        "environment": environment() | {"native": isa, "threads": options.threads, "target": options.target},
        "peers": peer_versions(),
        "networks": results,
    }
    RESULTS.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    print(table(results))


if __name__ == "__main__":
    main()
