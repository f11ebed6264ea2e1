"""What papers claim for mixed precision, by `qtool quantize` and `qtool search` on real models and machines.

    python benchmarks/claims.py --data ../shared/data [--claims PATTERN,...]

HAQ (arXiv 1811.08886) reports 1.4 to 1.95 times less latency and 1.9 times less energy than 8 bits at
negligible loss, after retraining; here nothing is retrained. MOHAQ (arXiv 2108.01192) reports 97 % of the
greatest speed-up and 86 % of the greatest energy saving on SiLago, and an eighth of the size, for a
recurrent network. Writes benchmarks/results/claims.json; results of claims that are not asked for are kept.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass, replace
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from environment import environment
from main_job import CASES as NETWORKS

from hwmodels import Metric, load_target

RESULTS = Path(__file__).resolve().parent / "results" / "claims.json"
METRICS = ("latency_s", "energy_j", "weight_bytes")
PLANS = 60
"""Measured by a search."""


@dataclass(frozen=True)
class Claim:
    """One run of the command line.

    Attributes:
        name: of the claim.
        arguments: model, data and what else tells one network from another.
        target: machine.
        options: budgets, or a drop and what is minimised.
        command: ``quantize``, or ``search``, which measures plans within the budget on the evaluation data
            and lowers that of least loss.
    """

    name: str
    arguments: tuple[str, ...]
    target: str
    options: tuple[str, ...]
    command: str = "quantize"


def networks(data: Path) -> dict[str, tuple[str, ...]]:
    """Return the arguments of each network."""
    found = {}
    for case in NETWORKS[:1] + NETWORKS[2:3]:
        text = case.arguments(data)
        at = text.index("--target")
        found[case.name] = tuple(text[:at] + text[at + 2 :])
    audio = data / "audio"
    found["fsdd_bigru"] = (
        str(data / "models" / "fsdd_bigru.onnx"),
        *("--calib", str(audio / "fsdd_calib.npz"), "--eval", str(audio / "fsdd_eval.npz")),
    )
    return found


def claims(data: Path) -> list[Claim]:
    """Return all runs."""
    known = networks(data)
    budgets = {"latency": "0.588x", "energy": "0.526x"}
    found = [
        Claim(f"haq {word} {target} {name}", known[name], target, (f"--max-{word}", limit, "--to", "qdq"))
        for word, limit in budgets.items()
        for target in ("bitfusion", "bitfusion-server", "bismo-edge", "bismo-cloud")
        for name in list(known)[:2]
        if Metric[word.upper()] in load_target(target).metrics
    ]
    found += [searched(claim) for claim in found] + [by_divergence(claim) for claim in found]
    gru = known["fsdd_bigru"]
    for metric in ("latency", "energy"):
        options = ("--max-drop", "1%", "--minimize", metric, "--to", "qdq")
        found.append(Claim(f"mohaq silago {metric}", gru, "silago", options))
    size = ("--max-drop", "1%", "--minimize", "size", "--to", "qdq,packed")
    return [*found, Claim("mohaq size", gru, "generic", size)]


def searched(claim: Claim) -> Claim:
    """Return the same claim for ``qtool search``."""
    objectives = f"loss,{claim.name.split()[1]}"
    options = (*claim.options, "--objectives", objectives, "--evaluations", str(PLANS))
    return replace(claim, name=f"{claim.name} search", options=options, command="search")


def by_divergence(claim: Claim) -> Claim:
    """Return the same claim with losses that are measured at every width."""
    return replace(claim, name=f"{claim.name} kl", options=(*claim.options, "--sensitivity", "kl"))


def main() -> None:
    """Measure, write and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--claims", default="*", help="patterns of names, separated by commas")
    options = parser.parse_args()
    document = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    for claim in claims(options.data):
        if any(fnmatch(claim.name, pattern) for pattern in options.claims.split(",")):
            document[claim.name] = measure(claim) | {"environment": environment()}
            RESULTS.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
            print(
                claim.name,
                json.dumps(document[claim.name]["ratios"]),
                document[claim.name]["drop"],
                flush=True,
            )


def measure(claim: Claim) -> dict[str, Any]:
    """Return cost over that of 8 bits, that of the cheapest plan there is if one is sought, and the drop."""
    with tempfile.TemporaryDirectory() as folder:
        report, code = COMMANDS[claim.command](claim, Path(folder))
        limits = {}
        if "--max-drop" in claim.options:
            free = tuple("100%" if option == "1%" else option for option in claim.options)
            cheapest, _ = quantize(replace(claim, options=free), Path(folder))
            limits = ratios(cheapest)
    metric = report["metric"]
    return {
        "command": claim.command,
        "options": claim.options,
        "target": claim.target,
        "exit_code": code,
        "ratios": ratios(report),
        "least_ratios": limits,
        "float": metric["float"],
        "quantized": metric["quantized"],
        "drop": 100 * (metric["float"] - metric["quantized"]),
        "samples": metric["samples"],
        "size_of_float": float_bytes(report) / report["cost"]["weight_bytes"],
    }


def ratios(report: dict[str, Any]) -> dict[str, float]:
    """Return costs over those of uniform 8 bits."""
    eight = report["cost_8bit"]
    return {name: report["cost"][name] / eight[name] for name in METRICS if eight.get(name)}


def float_bytes(report: dict[str, Any]) -> float:
    """Return the bytes of the quantized weights in float32."""
    return sum(
        8 * 4 * layer["weight_bytes"] / layer["weight_bits"]
        for layer in report["layers"]
        if layer["quantized"]
    )


def quantize(claim: Claim, folder: Path) -> tuple[dict[str, Any], int]:
    """Run the command line in a process of its own; a missed budget or drop is a result too."""
    code = run(claim, folder / "out", "--force", "--quality-plans", "0")
    return read(folder / "out" / "report.json"), code


def search(claim: Claim, folder: Path) -> tuple[dict[str, Any], int]:
    """Search, and compile the plan of least measured loss."""
    run(claim, folder / "out")
    front = read(folder / "out" / "front.json")["front"]
    best = min(range(len(front)), key=lambda at: front[at]["loss"])
    code = run(claim, folder / "out", "--select", str(best))
    return read(folder / "out" / f"point-{best}" / "report.json"), code


def run(claim: Claim, out: Path, *more: str) -> int:
    """Run the command of a claim; return its exit code."""
    command = [sys.executable, "-m", "qtool", claim.command, *claim.arguments, "--target", claim.target]
    return subprocess.run(
        [*command, *claim.options, "-o", str(out), "--quiet", *more], check=False
    ).returncode


def read(path: Path) -> dict[str, Any]:
    """Read a file that a command was to write."""
    if not path.exists():
        raise SystemExit(f"{path}: the command has not written it")
    found: dict[str, Any] = json.loads(path.read_text())
    return found


COMMANDS = {"quantize": quantize, "search": search}

if __name__ == "__main__":
    main()
