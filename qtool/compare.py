"""``qtool compare``: any two of float model, Q/DQ model and packed artifact, on the same data."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from passes.artifact import Artifact
from passes.errors import UsageError
from passes.execution.dataset import open_dataset
from passes.execution.metrics import agreement, choose_metric, cosine, sqnr
from passes.execution.session import Level, Session
from passes.ir.onnx_io import read_model, to_proto
from qtool.agreement import expose, layer_agreement
from qtool.runners import open_runner, run_all

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from passes.execution.dataset import Dataset
    from passes.execution.preprocess import Preprocess

LAYER_SAMPLES = 8


def compare(  # noqa: PLR0913, PLR0917 - one parameter per option of the command
    a: Path,
    b: Path,
    data: str,
    preprocess: Preprocess | None,
    samples: int | None,
    metric: str | None,
    label_offset: int,
    per_layer: bool,
    workers: int,
    tell: Callable[[str, int, int], None],
) -> dict[str, Any]:
    """Run two models and say how their outputs differ; ``a`` is the reference.

    ONNX models run at the level that keeps their arithmetic (ORT_ENABLE_BASIC).

    Raises:
        InputError: a model, an artifact or the data cannot be used.
        UsageError: the models do not have the same outputs.
    """
    first, inputs = open_runner(a, Level.BASIC, workers)
    second, _ = open_runner(b, Level.BASIC, workers)
    dataset = open_dataset(data, inputs, preprocess, samples)
    chosen = choose_metric(metric, dataset.labels, label_offset)
    reference, other = run_all([first, second], dataset, tell)
    if [output.shape for output in reference] != [output.shape for output in other]:
        shapes = [[list(output.shape) for output in side] for side in (reference, other)]
        raise UsageError(f"{a} and {b} have different outputs: {shapes[0]} and {shapes[1]}")
    document: dict[str, Any] = {
        "a": str(a),
        "b": str(b),
        "samples": dataset.count,
        "metric": {
            "name": chosen.name,
            "a": chosen(reference, reference, dataset.labels),
            "b": chosen(other, reference, dataset.labels),
        },
        "agreement": agreement(other, reference),
        "outputs": [_output(*entry) for entry in zip(first.outputs, reference, other, strict=True)],
    }
    return document | (_per_layer(a, b, dataset, workers) if per_layer else {})


def _output(name: str, reference: NDArray[Any], other: NDArray[Any]) -> dict[str, Any]:
    peak = float(np.abs(reference).max(initial=0.0))
    difference = np.abs(reference.astype(np.float64) - other)
    return {
        "output": name,
        "sqnr_db": sqnr([other], [reference]),
        "cosine": cosine([other], [reference]),
        "max_difference": float(difference.max(initial=0.0)),
        "max_lsb": float(difference.max(initial=0.0) / max(peak / 255, 1e-30)),
    }


def _per_layer(a: Path, b: Path, data: Dataset, workers: int) -> dict[str, Any]:
    """Compare inside: codes with equal inputs for Q/DQ against packed, else the values of common tensors."""
    if {a.suffix, b.suffix} == {".onnx", ".qpk"}:
        model, packed = (a, b) if b.suffix == ".qpk" else (b, a)
        proto, artifact = to_proto(read_model(model)), Artifact.load(packed)
        if any(node.op_type == "QuantizeLinear" for node in proto.graph.node):
            layers = [
                asdict(entry) for entry in layer_agreement(proto, artifact, data, LAYER_SAMPLES, workers)
            ]
            return {"layers": layers, "first_divergence": _first(layers, lambda entry: entry["max_lsb"] > 0)}
    if a.suffix == b.suffix == ".onnx":
        layers = _tensor_sqnr(a, b, data, workers)
        return {"layers": layers, "first_divergence": _first(layers, lambda entry: entry["sqnr_db"] < 100)}
    raise UsageError("--per-layer compares two .onnx models, or a Q/DQ model with its .qpk")


def _tensor_sqnr(a: Path, b: Path, data: Dataset, workers: int) -> list[dict[str, Any]]:
    protos = [to_proto(read_model(path)) for path in (a, b)]
    names = [name for node in protos[0].graph.node for name in node.output if name]
    probed = [expose(proto, names) for proto in protos]
    common = [name for name in names if all(name in outputs for _, outputs in probed)]
    feeds = next(iter(data.batches(LAYER_SAMPLES, LAYER_SAMPLES)))
    values = [
        Session(proto, Level.BASIC, workers).run(feeds, [outputs[name] for name in common])
        for proto, outputs in probed
    ]
    pairs = zip(common, *values, strict=True)
    return [
        {"name": name, "sqnr_db": sqnr([other], [reference]), "cosine": cosine([other], [reference])}
        for name, reference, other in pairs
        if reference.dtype == np.float32 and reference.shape == other.shape
    ]


def _first(layers: list[dict[str, Any]], differs: Callable[[dict[str, Any]], bool]) -> str | None:
    return next((str(entry["name"]) for entry in layers if differs(entry)), None)
