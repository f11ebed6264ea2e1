"""Weights and activations of a generated model of more than 2 GB, calibrated a segment at a time.

    python benchmarks/large_activations.py [--gigabytes 2.7] [--bits 8] [--folder /tmp]

Makes a chain of LayerNormalization and MatMul in float32 with external data, runs ``qtool quantize
--segment-size`` on it with 32 samples, loads the Q/DQ model in ONNX Runtime and compares its result with that
of the float model in NumPy. Writes benchmarks/results/large_activations.json: by stage, the most memory of
its own, and together with the pages of files, which the system may drop at any time.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from threading import Thread
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))

import numpy as np
import onnx
import onnxruntime
from environment import environment
from large_model import LAYER_BYTES, WIDTH, generate

RESULTS = Path(__file__).resolve().parent / "results" / "large_activations.json"
SAMPLES = 32
PIPELINE = (
    'canonicalize,allocate{{pin="*=w{}a8"}},assign-scales{{method=minmax weights=minmax}},bias-correction'
)
"""Without the passes that try many roundings: layers of this width take them minutes each."""
EPSILON = 1e-5
"""Of LayerNormalization, where a node names none."""


def peaks(command: list[str]) -> dict[str, dict[str, int]]:
    """Run a command to its end; return the most memory that it held, in bytes, by kind and stage.

    A stage lasts from the line that names it to the next one.
    """
    found: dict[str, dict[str, int]] = {"RssAnon": {}, "VmRSS": {}}
    stages = ["start"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        reader = Thread(target=lambda: stages.extend(process.stdout or ()))
        reader.start()
        while process.poll() is None:
            status = Path(f"/proc/{process.pid}/status").read_text(encoding="utf-8").split("\n")
            sizes = dict(line.split(":", 1) for line in status if ":" in line)
            stage = next(line for line in reversed(stages) if line.endswith(("start", "...\n"))).split()[0]
            for kind, most in found.items():
                held = int(sizes.get(kind, "0 kB").split()[0]) * 1024
                most[stage] = max(most.get(stage, 0), held)
            time.sleep(0.02)
        reader.join()
    if process.returncode:
        raise SystemExit("".join(stages))
    return found


def float_results(model: Path, x: np.ndarray) -> np.ndarray:
    """Return what the float model computes, a layer after the other."""
    proto = onnx.ModelProto.FromString(model.read_bytes())
    gains = {it.name: onnx.numpy_helper.to_array(it) for it in proto.graph.initializer if it.name[0] == "g"}
    for at in range(len(gains)):
        weight = np.memmap(model.with_name("large.data"), np.float32, "r", at * LAYER_BYTES, (WIDTH, WIDTH))
        centred = x - x.mean(axis=1, keepdims=True)
        x = centred / np.sqrt(np.square(centred).mean(axis=1, keepdims=True) + EPSILON) * gains[f"g{at}"]
        x = x @ weight
    return x


def measure(folder: Path, gigabytes: float, bits: int) -> dict[str, Any]:
    """Return what one run took and gave."""
    model = generate(folder, max(1, round(gigabytes * 1e9 / LAYER_BYTES)), normalized=True)
    rng, out = np.random.default_rng(1), folder / "out"
    np.savez(folder / "calib.npz", x0=rng.standard_normal((SAMPLES, WIDTH), np.float32))
    words = ["quantize", model, "--calib", folder / "calib.npz", "--target", "generic", "-o", out]
    options = ["--to", "qdq", "--pipeline", PIPELINE.format(bits), "--segment-size", f"{LAYER_BYTES}B"]
    start = time.perf_counter()
    memory = peaks([sys.executable, "-m", "qtool", *map(str, [*words, *options])])
    seconds = time.perf_counter() - start
    session = onnxruntime.InferenceSession(str(out / "model.qdq.onnx"), providers=["CPUExecutionProvider"])
    x = rng.standard_normal((4, WIDTH), np.float32)
    found, exact = session.run(None, {"x0": x})[0], float_results(model, x)
    stages = json.loads((out / "report.json").read_text(encoding="utf-8"))["time_s"]
    return {
        "float_bytes": model.with_name("large.data").stat().st_size,
        "layer_bytes": LAYER_BYTES,
        "bits": f"w{bits}a8",
        "samples": SAMPLES,
        "seconds": seconds,
        "stages_s": stages,
        "peak_bytes": memory["RssAnon"],
        "peak_bytes_with_pages_of_files": memory["VmRSS"],
        "bytes": sum(file.stat().st_size for file in out.glob("model.qdq.onnx*")),
        "relative_error": float(np.linalg.norm(found - exact) / np.linalg.norm(exact)),
    }


def main() -> None:
    """Measure and write down."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--gigabytes", type=float, default=2.7)
    parser.add_argument("--bits", type=int, default=8)
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        found = measure(Path(folder), options.gigabytes, options.bits)
    document = {"environment": environment(), **found}
    RESULTS.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
