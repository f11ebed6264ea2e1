"""Weight-only quantization of a generated model that is larger than memory should be.

    python benchmarks/large_model.py [--gigabytes 6] [--folder /tmp]

Makes a chain of matrix products in float32 with external data, runs ``qtool weights`` on it at 4 bits in
groups of 32, loads the result in ONNX Runtime and compares one product with NumPy. Writes
benchmarks/results/large_model.json: peak memory beside its limit, size beside the bits asked.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))

import numpy as np
import onnx
import onnxruntime
from environment import environment
from onnx import TensorProto, helper, numpy_helper

RESULTS = Path(__file__).resolve().parent / "results" / "large_model.json"
WIDTH, GROUP, BITS = 8192, 32, 4
LAYER_BYTES = WIDTH * WIDTH * 4
FREE_BYTES = 500 << 20
"""What the process may take beside the largest layer, of which it may take 1.2 times as much."""


def generate(folder: Path, layers: int, *, normalized: bool = False) -> Path:
    """Write a chain of products; every layer has weights of its own.

    Args:
        folder: for the files.
        layers: number of products.
        normalized: put a LayerNormalization in front of each.
    """
    rng = np.random.default_rng(0)
    nodes = []
    for at in range(layers):
        read = f"n{at}" if normalized else f"x{at}"
        if normalized:
            nodes.append(helper.make_node("LayerNormalization", [f"x{at}", f"g{at}"], [read], f"norm{at}"))
        nodes.append(helper.make_node("MatMul", [read, f"w{at}"], [f"x{at + 1}"], f"layer{at}"))
    ends = [helper.make_tensor_value_info(name, 1, ["batch", WIDTH]) for name in ("x0", f"x{layers}")]
    graph = helper.make_graph(nodes, "large", ends[:1], ends[1:])
    with (folder / "large.data").open("wb") as file:
        for at in range(layers):
            tensor = graph.initializer.add(name=f"w{at}", data_type=TensorProto.FLOAT, dims=[WIDTH, WIDTH])
            tensor.data_location = TensorProto.EXTERNAL
            entries = {"location": "large.data", "offset": file.tell(), "length": LAYER_BYTES}
            for key, value in entries.items():
                tensor.external_data.add(key=key, value=str(value))
            for _ in range(8):
                rows = rng.standard_normal((WIDTH // 8, WIDTH), np.float32) / np.float32(WIDTH**0.5)
                file.write(rows.data)
    if normalized:
        gains = rng.uniform(0.5, 2, (layers, WIDTH)).astype(np.float32)
        graph.initializer.extend(numpy_helper.from_array(gain, f"g{at}") for at, gain in enumerate(gains))
    model = folder / "large.onnx"
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    model.write_bytes(proto.SerializeToString())
    return model


def error_of_first_layer(model: Path, out: Path) -> float:
    """Return the relative error of the first product in ONNX Runtime, in the quantized model."""
    proto = onnx.ModelProto.FromString((out / "model.nbits.onnx").read_bytes())
    del proto.graph.output[:]
    proto.graph.output.append(helper.make_tensor_value_info("x1", 1, ["batch", WIDTH]))
    first = out / "first.onnx"
    first.write_bytes(proto.SerializeToString())
    session = onnxruntime.InferenceSession(str(first), providers=["CPUExecutionProvider"])
    x = np.random.default_rng(1).standard_normal((1, WIDTH), np.float32)
    found = session.run(None, {"x0": x})[0]
    weight = np.fromfile(model.with_name("large.data"), np.float32, WIDTH * WIDTH).reshape(WIDTH, WIDTH)
    exact = x @ weight
    return float(np.linalg.norm(found - exact) / np.linalg.norm(exact))


def measure(folder: Path, gigabytes: float) -> dict[str, Any]:
    """Return what one run took and gave."""
    model = generate(folder, max(1, round(gigabytes * 1e9 / LAYER_BYTES)))
    out = folder / "out"
    command = [sys.executable, "-m", "qtool", "weights", str(model), "-o", str(out), "--quiet"]
    start = time.perf_counter()
    subprocess.run([*command, "--bits", str(BITS), "--group-size", str(GROUP)], check=True)
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
    report = json.loads((out / "weights.json").read_text(encoding="utf-8"))
    asked = report["weights"] * (BITS + 32 / GROUP) / 8
    size = sum((out / name).stat().st_size for name in ("model.nbits.onnx", "model.nbits.onnx.data"))
    return {
        "float_bytes": report["float_bytes"],
        "layers": report["layers"],
        "layer_bytes": LAYER_BYTES,
        "seconds": seconds,
        "peak_bytes": peak,
        "peak_limit_bytes": 1.2 * LAYER_BYTES + FREE_BYTES,
        "bytes": size,
        "bytes_asked": asked,
        "size_over_asked": size / asked,
        "relative_error_of_first_layer": error_of_first_layer(model, out),
    }


def main() -> None:
    """Measure and write down."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--gigabytes", type=float, default=6.0)
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        found = measure(Path(folder), options.gigabytes)
    document = {"environment": environment(), **found}
    RESULTS.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
