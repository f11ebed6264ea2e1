"""What retrained beacons are worth in a search: error at equal cost with and without them.

    python benchmarks/beacons.py --data ../shared/data [--network gru --seed 0 --beacons 5 --train-steps 300]

MOHAQ (arXiv 2108.01192) reports up to 4.9 points less error by retraining a few plans of its search on
BitFusion. Spoken digits, BitFusion, weights and activations of 2 and 4 bits, NSGA-II for loss, latency and
size: the same search without beacons, with beacons that need no gradients, and with retrained ones. For every
plan on the front of the first, error is compared with the least of the others at no more latency and size.
The SRU is trained first (`samples/sru/train.py`). Entries of benchmarks/results/beacons.json that are there
already are not measured again.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from environment import environment

import qtool

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "beacons.json"
WIDTHS = [2, 4]


@dataclass(frozen=True)
class Speech:
    """A network that hears digits, and its recordings."""

    model: Path
    calib: Path
    evaluation: Path
    train: Path


def gru(data: Path, folder: Path) -> Speech:
    """Return the GRU of the shared data; its training data are written as float32."""
    audio, train = data / "audio", folder / "train.npz"
    with np.load(audio / "fsdd_train.npz") as arrays:
        np.savez(train, logmel=arrays["logmel"].astype(np.float32), labels=arrays["labels"])
    model = data / "models" / "fsdd_bigru.onnx"
    return Speech(model, audio / "fsdd_calib.npz", audio / "fsdd_eval.npz", train)


def sru(data: Path, folder: Path) -> Speech:
    """Train the SRU of samples/sru on the same recordings."""
    audio = data / "audio"
    script = ROOT / "samples" / "sru" / "train.py"
    places = ("--data", audio / "fsdd_train.npz", "--held-out", audio / "fsdd_eval.npz", "--out", folder)
    subprocess.run([sys.executable, script, *places], check=True)
    names = ("sru.onnx", "sru_calib.npz", "sru_eval.npz", "sru_train.npz")
    return Speech(*(folder / name for name in names))


NETWORKS = {"gru": gru, "sru": sru}


def main() -> None:
    """Measure what is missing, and write after every entry."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--network", choices=NETWORKS, action="append")
    parser.add_argument("--seed", type=int, action="append")
    parser.add_argument("--beacons", type=int, default=5)
    parser.add_argument("--train-steps", type=int, default=300)
    parser.add_argument("--evaluations", type=int, default=60)
    options = parser.parse_args()
    found = json.loads(RESULTS.read_text()) if RESULTS.exists() else {"entries": {}}
    for name in options.network or NETWORKS:
        with tempfile.TemporaryDirectory() as folder:
            speech = None
            for seed in options.seed or [0]:
                key = f"{name}, {options.beacons} beacons of {options.train_steps} steps, seed {seed}"
                if key not in found["entries"]:
                    speech = speech or NETWORKS[name](options.data, Path(folder))
                    versions = environment() | {"torch": version("torch")}
                    found["entries"][key] = measure(speech, seed, options) | {"environment": versions}
                    RESULTS.write_text(json.dumps(found, indent=1) + "\n")
                print(key, json.dumps(found["entries"][key]["cut"]), flush=True)


def measure(speech: Speech, seed: int, options: argparse.Namespace) -> dict[str, Any]:
    """Search three times, and compare at equal cost."""
    kinds: dict[str, dict[str, Any]] = {
        "inference only": {},
        "beacons": {"beacons": options.beacons},
        "retrained": {
            "beacons": options.beacons,
            "train": str(speech.train),
            "train_steps": options.train_steps,
        },
    }
    fronts, cpu_s = {}, {}
    for kind, more in kinds.items():
        start = time.process_time()
        with tempfile.TemporaryDirectory() as folder:
            document = qtool.search(
                speech.model,
                target="bitfusion",
                out=folder,
                calib=str(speech.calib),
                eval=str(speech.evaluation),
                solver="nsga2",
                objectives=["loss", "latency", "size"],
                bits=WIDTHS,
                evaluations=options.evaluations,
                seed=seed,
                **more,
            )
        fronts[kind], cpu_s[kind] = [point_of(it) for it in document["front"]], time.process_time() - start
    cut = {kind: compared(fronts["inference only"], front) for kind, front in fronts.items()}
    return {"cut": cut, "fronts": fronts, "cpu_s": cpu_s, "evaluations": options.evaluations}


def point_of(entry: dict[str, Any]) -> dict[str, float]:
    """Return what counts of a point."""
    cost = entry["cost"]
    return {"loss": entry["loss"], "latency_s": cost["latency_s"], "weight_bytes": cost["weight_bytes"]}


def compared(base: list[dict[str, float]], front: list[dict[str, float]]) -> dict[str, float]:
    """Return errors at the costs of a base front, in points: means, and the greatest difference."""
    costs = ("latency_s", "weight_bytes")
    pairs = []
    for point in base:
        rivals = [it["loss"] for it in front if all(it[name] <= point[name] for name in costs)]
        pairs.append((100 * point["loss"], 100 * min(rivals, default=float("nan"))))
    known = [(one, other) for one, other in pairs if not np.isnan(other)]
    before, after = np.mean(known, axis=0)
    most = max(one - other for one, other in known)
    return {
        "points": len(known), "of": len(pairs), "before": float(before), "after": float(after), "most": most
    }  # fmt: skip


if __name__ == "__main__":
    main()
