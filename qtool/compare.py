"""``qtool compare``: any two of float model, Q/DQ model and packed artifact, on the same data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from passes.errors import UsageError
from passes.execution.dataset import open_dataset
from passes.execution.metrics import agreement, choose_metric, cosine, sqnr
from passes.execution.session import Level
from qtool.layer_compare import compare_layers
from qtool.runners import open_runner, run_all

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from passes.execution.preprocess import Preprocess


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
    truth = dataset.truth(chosen)
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
            "a": chosen(reference, reference, truth),
            "b": chosen(other, reference, truth),
        },
        "agreement": agreement(other, reference),
        "outputs": [_output(*entry) for entry in zip(first.outputs, reference, other, strict=True)],
    }
    return document | (compare_layers(a, b, dataset, workers) if per_layer else {})


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
