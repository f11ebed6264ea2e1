"""``qtool compare``: any two of float model, Q/DQ model and packed artifact, on the same data."""

from __future__ import annotations

from dataclasses import dataclass
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


@dataclass(frozen=True, slots=True, kw_only=True)
class CompareRequest:
    """One comparison.

    Attributes:
        a: the reference, .onnx or .qpk.
        b: what is compared with it.
        data: where the samples are.
        preprocess: how images become inputs.
        samples: use the first so many.
        metric: task metric; ``None`` lets the data decide.
        label_offset: added to labels, 1 for models with a background class.
        per_layer: find the first layer at which they part.
        workers: threads; 0 leaves the choice to the runtimes.
    """

    a: Path
    b: Path
    data: str
    preprocess: Preprocess | None = None
    samples: int | None = None
    metric: str | None = None
    label_offset: int = 0
    per_layer: bool = False
    workers: int = 0


def compare(request: CompareRequest, tell: Callable[[str, int, int], None]) -> dict[str, Any]:
    """Run two models and say how their outputs differ.

    ONNX models run at the level that keeps their arithmetic (ORT_ENABLE_BASIC).

    Args:
        request: what to do.
        tell: called with (stage, done, total) as work proceeds.

    Raises:
        InputError: a model, an artifact or the data cannot be used.
        UsageError: the models do not have the same outputs.
    """
    a, b, workers = request.a, request.b, request.workers
    first, inputs = open_runner(a, Level.BASIC, workers)
    second, _ = open_runner(b, Level.BASIC, workers)
    dataset = open_dataset(request.data, inputs, request.preprocess, request.samples)
    chosen = choose_metric(request.metric, dataset.labels, request.label_offset)
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
    return document | (compare_layers(a, b, dataset, workers) if request.per_layer else {})


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
