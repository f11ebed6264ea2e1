"""What the channels of activations hold: their largest magnitudes, and rows to try quantizers on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from passes.errors import DataError, ModelError
from passes.execution.instrument import Wanted, instrument
from passes.execution.padding import CalibrationSamples
from passes.execution.sweep import sweep

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from passes.api import PassContext
    from passes.ir.model import Model

BATCH = 4


@dataclass(frozen=True, slots=True, eq=False)
class ChannelRows:
    """One activation.

    Attributes:
        lowest: least value of each channel over all samples, shape (channels,).
        largest: largest magnitude of each, same shape.
        rows: float32 sample of it, shape (rows, channels).
    """

    lowest: NDArray[np.float64]
    largest: NDArray[np.float64]
    rows: NDArray[np.float32]


def observe_rows(
    model: Model, ctx: PassContext, axes: Mapping[str, int], rows: int
) -> dict[str, ChannelRows]:
    """Run the float model over the calibration data.

    Args:
        model: with its constants as they are now.
        ctx: with the data.
        axes: that run over channels, by the names of the activations.
        rows: number of rows to keep of each, about, drawn evenly from all samples.

    Raises:
        UsageError: there are no calibration data.
        ModelError: an activation is NaN or infinite; the message names it.
        DataError: the data hold no samples.
    """
    proto, _ = instrument(model, Wanted(full=tuple(axes)))
    data = ctx.get(CalibrationSamples(), model)
    share = rows / max(data.count, 1)
    rng = ctx.rng("channels")
    seen = {name: _Rows(name, axis) for name, axis in axes.items()}
    for count, found in sweep(proto, list(axes), data.batches(BATCH), ctx):
        wanted = -int(-share * count // 1)
        for name, rows_of in seen.items():
            rows_of.update(found[name], wanted, rng)
    return {name: rows_of.value() for name, rows_of in seen.items()}


class _Rows:
    """Running extremes and a sample of one activation."""

    def __init__(self, name: str, axis: int) -> None:
        self._name, self._axis = name, axis
        self._lowest, self._highest = np.array(np.inf, np.float32), np.array(-np.inf, np.float32)
        self._kept: list[NDArray[np.float32]] = []

    def update(self, values: NDArray[np.float32], count: int, rng: np.random.Generator) -> None:
        moved = np.moveaxis(values, self._axis, -1)
        if not moved.size:
            raise DataError(f"activation {self._name!r} has no elements on the calibration data")
        flat = moved.reshape(-1, moved.shape[-1])
        low, high = flat.min(axis=0), flat.max(axis=0)
        if not (np.isfinite(low).all() and np.isfinite(high).all()):
            raise ModelError(f"activation {self._name!r} is NaN or infinite on the calibration data")
        self._lowest, self._highest = np.minimum(self._lowest, low), np.maximum(self._highest, high)
        at = rng.choice(len(flat), size=min(count, len(flat)), replace=False, shuffle=False)
        self._kept.append(flat[at].copy())

    def value(self) -> ChannelRows:
        if not self._kept:
            raise DataError("the calibration data hold no samples")
        largest = np.maximum(-self._lowest, self._highest).astype(np.float64)
        return ChannelRows(self._lowest.astype(np.float64), largest, np.concatenate(self._kept))
