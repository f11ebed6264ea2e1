"""Run a model under a plan: lower it in memory and run that."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from passes.execution.prefetch import prefetch
from passes.execution.session import Level, Session
from passes.ir.onnx_io import to_proto
from passes.lowering.encoding import Form
from passes.lowering.qdq import emit_qdq

if TYPE_CHECKING:
    import onnx
    from numpy.typing import NDArray

    from passes.execution.dataset import Dataset
    from passes.ir.model import Model
    from passes.ir.setup import QuantizerSetup

BATCH = 16
Outputs = list["NDArray[Any]"]


def run_proto(
    proto: onnx.ModelProto, data: Dataset, level: Level, threads: int = 0, limit: int | None = None
) -> Outputs:
    """Return every output of a model over a data set, samples along the first axis."""
    session = Session(proto, level, threads)
    batches = [session.run(feeds) for feeds in prefetch(data.batches(BATCH, limit))]
    return [np.concatenate(parts) for parts in zip(*batches, strict=True)]


def run_float(model: Model, data: Dataset, threads: int = 0, limit: int | None = None) -> Outputs:
    """Return the outputs of the graph as it stands, without its plan."""
    return run_proto(to_proto(model), data, Level.DEFAULT, threads, limit)


def simulate(
    model: Model, setup: QuantizerSetup, data: Dataset, threads: int = 0, limit: int | None = None
) -> Outputs:
    """Return the outputs of a model under its plan.

    The plan is lowered to QCDQ, which runs on integer kernels and so costs about as much as a float pass.
    Those kernels may differ by one step from the shipped model at its exact level, which is what final
    results are measured on.
    """
    return run_proto(emit_qdq(model, setup, Form.QCDQ), data, Level.DEFAULT, threads, limit)
