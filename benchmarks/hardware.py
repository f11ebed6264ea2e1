"""Every hardware model against published or measured numbers, side by side.

    python benchmarks/hardware.py --data ../shared/data [--probe] [--policies]

Writes benchmarks/results/hardware.json with date, versions and machine, and prints a table. `--probe`
measures this machine (minutes, wants it quiet), `--policies` allocates MobileNetV2 for every machine.
"""

from __future__ import annotations

import argparse
import csv
import json
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent))

import haq_table
import policies
import probe
from environment import environment

from hwmodels import Metric, Precision, Workload, load_target, network_cost, price_table
from hwmodels.arrays import PairArrays
from hwmodels.machines.bitfusion_array import parallel_products
from hwmodels.registry import BUILTIN
from passes.analysis.workloads import Workloads
from passes.api import PassContext
from passes.ir.onnx_io import read_model
from passes.manager import PassManager
from passes.pipeline import parse
from qtool.layer_list import read_layers

RESULTS = Path(__file__).resolve().parent / "results" / "hardware.json"
SRU_WEIGHTS = (75_900, *(844_800,) * 3, *(281_600,) * 3, 2_094_400)
SRU_OPERATIONS = 5_637_500
"""MOHAQ counts element-wise operations among those that speed-ups refer to."""
SRU_VECTORS_J = 8_800 * 16 * 0.08e-12
"""Vectors and biases, which MOHAQ keeps at 16 bits."""
HAQ_BATCH = 16

Rows = dict[str, Any]


def silago(data: Path) -> Rows:
    """MOHAQ's network on SiLago: microjoules at 16, 8 and 4 bits, and the largest speed-up."""
    works = [Workload.gemm(f"matrix {at}", 1, size // 100, 100) for at, size in enumerate(SRU_WEIGHTS)]
    costs = {
        bits: network_cost(load_target("silago"), works, [Precision(bits, bits)] * 8).total
        for bits in (16, 8, 4)
    }
    energies = [(costs[bits].energy_j + SRU_VECTORS_J) * 1e6 for bits in costs]
    gain = costs[16].latency_s / costs[4].latency_s * sum(SRU_WEIGHTS) / SRU_OPERATIONS
    shown = [f"{energies[0]:.2f}", f"{energies[1]:.2f}", f"{energies[2]:.3f}", f"{gain:.2f}"]
    return {"uJ_and_speed_up": shown, "met": shown == ["16.36", "6.57", "2.638", "3.94"]}


def bitfusion_factors(data: Path) -> Rows:
    """Products of a fusion unit per cycle."""
    wanted = {"w8a8": 1, "w4a8": 2, "w4a4": 4, "w3a3": 4, "w2a2": 16, "w5a5": 1, "w4a6": 2}
    machine = load_target("bitfusion")
    work = Workload.gemm("any", 1, 1, 1)
    run = [machine.round_up(work, Precision.parse(pair)) for pair in wanted]
    found = dict(zip(wanted, parallel_products(PairArrays.row(run))[0].astype(int).tolist(), strict=True))
    return {"factors": found, "met": found == wanted}


def bitfusion_sim(data: Path) -> Rows:
    """Cycles of ResNet-18 against the public table, per network and per layer and pair."""
    folder, machine = data / "fixtures", load_target("bitfusion-sim")
    with (folder / "bitfusion_resnet18_cycles.csv").open(encoding="utf-8", newline="") as stream:
        rows = [{key: int(value) for key, value in row.items()} for row in csv.DictReader(stream)]
    table = {_key(row): row["cycles"] for row in rows}
    errors = [abs((_cycles(machine, row) or 0) / row["cycles"] - 1) for row in rows]
    layers = read_layers(folder / "bitfusion_resnet18_layers.csv")
    totals = {}
    for bits in (8, 4, 2):
        found = network_cost(machine, layers, [Precision(bits, bits)] * len(layers)).total.cycles
        published = sum(table[_layer_key(work, bits)] for work in layers if _layer_key(work, bits) in table)
        totals[f"{bits}/{bits}"] = found / published - 1
    median = statistics.median(errors)
    met = all(abs(totals[f"{b}/{b}"]) < bar for b, bar in ((8, 0.07), (4, 0.07), (2, 0.15))) and median < 0.08
    return {"total_error": totals, "median_error": median, "largest_error": max(errors), "met": met}


def _cycles(machine: Any, row: dict[str, int]) -> float | None:
    square = (row["out_size"],) * 2
    channels, kernel = (row["in_ch"], row["out_ch"]), (row["kernel"],) * 2
    work = Workload.conv("layer", channels, kernel, square, stride=row["stride"])
    return machine.cost(work, Precision(row["weight_bits"], row["act_bits"])).cycles


def _key(row: dict[str, int]) -> tuple[int, ...]:
    names = ("kernel", "out_size", "in_ch", "out_ch", "act_bits", "weight_bits")
    return tuple(row[name] for name in names)


def _layer_key(work: Workload, bits: int) -> tuple[int, ...]:
    kernel = work.kernel[0] if work.kernel else 1
    return kernel, work.out_spatial[0], work.in_channels, work.out_channels, bits, bits


def bismo(data: Path) -> Rows:
    """The closed form against all entries of HAQ's table."""
    published = np.load(data / "fixtures" / "haq_mobilenetv2_bismo_cloud_cycles.npy").astype(float)
    pairs = [Precision(weight, act) for weight in range(1, 9) for act in range(1, 9)]
    machine = load_target("bismo-cloud")
    found = (
        price_table(machine, mobilenet_v2(data, HAQ_BATCH), pairs)[Metric.LATENCY].reshape(53, 8, 8) * 200e6
    )
    totals = {
        f"{b}/{b}": found[:, b - 1, b - 1].sum() / published[:, b - 1, b - 1].sum() - 1 for b in (8, 4, 2)
    }
    logs, known = np.log(found), np.log(published)
    r2 = float(1 - ((logs - known) ** 2).sum() / ((known - known.mean()) ** 2).sum())
    met = all(abs(error) < 0.04 for error in totals.values()) and r2 >= 0.95
    return {"total_error": totals, "log_r2": r2, "met": met}


def mobilenet_v2(data: Path, batch: int = 1) -> list[Workload]:
    """Return the layers of the network of the data folder."""
    model, ctx = (
        read_model(data / "models" / "mobilenet_v2_1.0_224.onnx"),
        PassContext(load_target("generic")),
    )
    PassManager(parse("canonicalize,fold-batchnorm")).run(model, ctx)
    return [
        replace(
            work, batch=batch, in_elements=batch * work.in_elements, out_elements=batch * work.out_elements
        )
        if work.kernel
        else Workload.gemm(work.name, batch, work.in_channels, work.out_channels)
        for work in ctx.get(Workloads(), model).values()
    ]


def haq(data: Path) -> Rows:
    """The exact solver on HAQ's table: at least HAQ's bits everywhere, within 0.600."""
    found = haq_table.compare(*haq_table.read_table(data))
    covers = all(
        new[0] >= old[0] and new[1] >= old[1]
        for new, old in zip(found["found_policy"], found["haq_policy"], strict=True)
    )
    keys = ("found_cost", "added_weight_bits", "added_act_bits", "status")
    return {key: found[key] for key in keys} | {"met": covers and found["found_cost"] <= 0.600}


def pricing_speed(data: Path) -> Rows:
    """Seconds to price 10,000 layers at 49 pairs: all shapes different, and those of a network repeated."""
    pairs = [Precision(weight, act) for weight in range(2, 9) for act in range(2, 9)]
    different = [
        Workload.conv(f"layer{at}", (16 + at % 499, 32 + at % 307), (3, 3), (7 + at % 53,) * 2)
        for at in range(10_000)
    ]
    network = mobilenet_v2(data)
    repeated = [network[at % len(network)] for at in range(10_000)]
    seconds = {
        name: {"different": _seconds(name, different, pairs), "repeated": _seconds(name, repeated, pairs)}
        for name in BUILTIN
    }
    slow = sorted(name for name, both in seconds.items() if both["different"] > 1)
    return {"seconds": seconds, "over_a_second": slow, "met": not slow}


def _seconds(name: str, works: list[Workload], pairs: list[Precision]) -> float:
    machine = load_target(name)
    start = time.perf_counter()
    price_table(machine, works, pairs)
    return time.perf_counter() - start


CHECKS: dict[str, Callable[[Path], Rows]] = {
    "SiLago on MOHAQ's network, to the printed digits": silago,
    "BitFusion factors": bitfusion_factors,
    "bitfusion-sim on ResNet-18: totals 7, 7, 15 %, median 8 %": bitfusion_sim,
    "bismo-cloud on HAQ's table: totals 4 %, log R2 0.95": bismo,
    "ILP on HAQ's table: covers HAQ's policy within 0.600": haq,
    "10,000 layers x 49 pairs within 1 s": pricing_speed,
}


def main() -> None:
    """Run the checks, print and write them."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="the data folder")
    parser.add_argument("--probe", action="store_true", help="measure this machine too")
    parser.add_argument("--policies", action="store_true", help="allocate for every machine too")
    arguments = parser.parse_args()
    checks = {}
    for title, check in CHECKS.items():
        checks[title] = check(arguments.data)
        print(
            f"{'met   ' if checks[title]['met'] else 'MISSED'} {title}: {_shown(checks[title])}", flush=True
        )
    RESULTS.write_text(json.dumps(environment() | {"checks": checks}, indent=1) + "\n", encoding="utf-8")
    for wanted, script in ((arguments.policies, policies), (arguments.probe, probe)):
        if wanted:
            sys.argv = [script.__name__, "--data", str(arguments.data)]
            script.main()


def _shown(rows: Rows) -> str:
    kept = {key: value for key, value in rows.items() if key not in ("met", "seconds")}
    return json.dumps(kept, default=float)


if __name__ == "__main__":
    main()
