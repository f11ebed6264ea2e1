"""The largest magnitude of every channel of some activations, over the calibration data."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx
from onnx import helper

from passes.errors import ModelError
from passes.execution.prefetch import prefetch
from passes.execution.session import Session
from passes.ir.onnx_io import to_proto

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from passes.execution.dataset import Dataset
    from passes.ir.model import Model

BATCH = 4


def channel_peaks(
    model: Model, names: Sequence[str], data: Dataset, threads: int = 0
) -> dict[str, NDArray[np.float64]]:
    """Return the largest magnitude of each channel, shape (channels,), by tensor name.

    Args:
        model: run as it stands, without its plan.
        names: tensors of shape (N, C, ...).
        data: all of it is read once.
        threads: for ONNX Runtime; 0 leaves their number to it.

    Raises:
        ModelError: a tensor is NaN or infinite; the message names it.
    """
    session = Session(_reduced(model, names), threads=threads)
    peaks: dict[str, NDArray[np.float64]] = {}
    for feeds in prefetch(data.batches(BATCH)):
        for name, found in zip(names, session.run(feeds), strict=True):
            seen = found.reshape(*found.shape[:2], -1).max(axis=(0, 2)).astype(np.float64)
            if not np.isfinite(seen).all():
                raise ModelError(f"activation {name!r} is NaN or infinite on the calibration data")
            peaks[name] = np.maximum(peaks.get(name, 0.0), seen)
    return peaks


def _reduced(model: Model, names: Sequence[str]) -> onnx.ModelProto:
    """Return the float model with the magnitudes of some tensors, pooled over their positions, as outputs."""
    proto = to_proto(model)
    del proto.graph.output[:]
    for name in names:
        magnitude, peak = f"{name}.magnitude", f"{name}.peak"
        proto.graph.node.append(helper.make_node("Abs", [name], [magnitude]))
        proto.graph.node.append(helper.make_node("GlobalMaxPool", [magnitude], [peak]))
        proto.graph.output.append(onnx.ValueInfoProto(name=peak))
    return proto
