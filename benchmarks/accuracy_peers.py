"""What ONNX Runtime's own quantizer costs in accuracy, on the models and samples of benchmarks/accuracy.py.

    python benchmarks/accuracy_peers.py --data ../shared/data [--model resnet20 --setting w4a8]

``quantize_static`` after its own preprocessing, weights per channel, ranges by minimum and maximum or by
entropy; one entry per model, setting and method in benchmarks/results/accuracy_peers.json.
"""

from __future__ import annotations

import argparse
import itertools
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from accuracy import CASES, Case, compared, open_set
from environment import environment
from onnxruntime import quantization as ort
from onnxruntime.quantization.preprocess import quant_pre_process

from passes.execution.dataset import Dataset
from passes.execution.session import Level, Session
from passes.ir.onnx_io import read_model, to_proto

RESULTS = Path(__file__).resolve().parent / "results" / "accuracy_peers.json"
WEIGHTS = {"w8a8": ort.QuantType.QInt8, "w4a8": ort.QuantType.QInt4}
METHODS = {"minmax": ort.CalibrationMethod.MinMax, "entropy": ort.CalibrationMethod.Entropy}
OPSET = 21
"""The first with 4-bit integers in QuantizeLinear."""


class Reader(ort.CalibrationDataReader):
    """Feeds samples one by one."""

    def __init__(self, data: Dataset) -> None:
        """Start at the first sample."""
        self._feeds = iter(data.batches(1))

    def get_next(self) -> dict[str, np.ndarray] | None:
        """Return the next sample, or ``None`` after the last."""
        return next(self._feeds, None)


def main() -> None:
    """Measure what is missing, and write after every entry."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--model", choices=CASES, action="append")
    parser.add_argument("--setting", choices=WEIGHTS, action="append")
    parser.add_argument("--method", choices=METHODS, action="append")
    asked = parser.parse_args()
    entries = json.loads(RESULTS.read_text())["entries"] if RESULTS.exists() else []
    labelled = [name for name, case in CASES.items() if case.labels]
    wanted = itertools.product(asked.model or labelled, asked.setting or WEIGHTS, asked.method or ["minmax"])
    for name, setting, method in wanted:
        key = {"peer": "onnxruntime", "model": name, "setting": setting, "method": method}
        if any(key.items() <= entry.items() for entry in entries):
            continue
        entry = key | measure(CASES[name], asked.data, setting, method)
        entries.append(entry | {"environment": environment()})
        print(json.dumps(entry), flush=True)
        RESULTS.write_text(json.dumps({"entries": entries}, indent=1) + "\n")


def measure(case: Case, data: Path, setting: str, method: str) -> dict[str, Any]:
    """Quantize one model by ONNX Runtime and compare it with itself in float."""
    path = data / "models" / f"{case.file}.onnx"
    model = read_model(path)
    calibration, evaluation = (open_set(model, case, data / part) for part in (case.calib, case.eval))
    reference = Session(to_proto(model)).run_all(evaluation.batches(16))[0]
    try:
        quantized = quantize(path, calibration, setting, method)
    except Exception as error:
        return {"failed": f"{type(error).__name__}: {error}"[:200]}
    found = Session(quantized, Level.BASIC).run_all(evaluation.batches(16))[0]
    return compared(reference, found, np.asarray(evaluation.labels) + case.offset)


def quantize(path: Path, calibration: Dataset, setting: str, method: str) -> onnx.ModelProto:
    """Return the model as ``quantize_static`` leaves it."""
    with tempfile.TemporaryDirectory() as folder:
        start, ready, done = (str(Path(folder) / name) for name in ("start.onnx", "ready.onnx", "done.onnx"))
        loaded = onnx.ModelProto.FromString(path.read_bytes())
        Path(start).write_bytes(newer(loaded).SerializeToString())
        quant_pre_process(start, ready, skip_symbolic_shape=True)
        ort.quantize_static(
            ready,
            done,
            Reader(calibration),
            quant_format=ort.QuantFormat.QDQ,
            per_channel=True,
            activation_type=ort.QuantType.QUInt8,
            weight_type=WEIGHTS[setting],
            calibrate_method=METHODS[method],
        )
        return onnx.ModelProto.FromString(Path(done).read_bytes())


def newer(proto: onnx.ModelProto) -> onnx.ModelProto:
    """Return a model in an opset that has 4-bit integers."""
    old = next(entry.version for entry in proto.opset_import if entry.domain in ("", "ai.onnx"))
    return onnx.version_converter.convert_version(proto, OPSET) if old < OPSET else proto


if __name__ == "__main__":
    main()
