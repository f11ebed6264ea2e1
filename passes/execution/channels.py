"""What the channels of activations hold: their largest magnitudes, and rows to try quantizers on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from passes.errors import DataError, ModelError, UsageError
from passes.execution.instrument import Wanted, instrument
from passes.execution.prefetch import prefetch
from passes.execution.session import Session

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from passes.api import PassContext
    from passes.ir.model import Model

BATCH = 4


@dataclass(frozen=True, slots=True, eq=False)
class ChannelRows:
    """One activation, its last axis running over channels.

    Attributes:
        largest: largest magnitude of each channel over all samples, shape (channels,).
        rows: float32 sample of it, shape (rows, channels).
    """

    largest: NDArray[np.float64]
    rows: NDArray[np.float32]


def observe_rows(model: Model, ctx: PassContext, names: Sequence[str], rows: int) -> dict[str, ChannelRows]:
    """Run the float model over the calibration data.

    Args:
        model: with its constants as they are now.
        ctx: with the data.
        names: of the activations.
        rows: number of rows to keep of each, about, drawn evenly from all samples.

    Raises:
        UsageError: there are no calibration data.
        ModelError: an activation is NaN or infinite; the message names it.
        DataError: the data hold no samples.
    """
    if ctx.calibration is None:
        raise UsageError("this needs calibration data; give --calib")
    proto, _ = instrument(model, Wanted(full=tuple(names)))
    session = Session(proto, threads=ctx.workers)
    share = rows / max(ctx.calibration.count, 1)
    rng = ctx.rng("channels")
    seen: dict[str, _Rows] = {name: _Rows(name) for name in names}
    for feeds in prefetch(ctx.calibration.batches(BATCH)):
        wanted = -int(-share * len(next(iter(feeds.values()))) // 1)
        for name, values in zip(names, session.run(feeds, list(names)), strict=True):
            seen[name].update(values, wanted, rng)
    return {name: found.value() for name, found in seen.items()}


class _Rows:
    """Running maxima and a sample of one activation."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._largest: NDArray[np.float32] | None = None
        self._kept: list[NDArray[np.float32]] = []

    def update(self, values: NDArray[np.float32], count: int, rng: np.random.Generator) -> None:
        flat = values.reshape(-1, values.shape[-1])
        largest = np.abs(flat).max(axis=0)
        if not np.isfinite(largest).all():
            raise ModelError(f"activation {self._name!r} is NaN or infinite on the calibration data")
        self._largest = largest if self._largest is None else np.maximum(self._largest, largest)
        at = rng.choice(len(flat), size=min(count, len(flat)), replace=False, shuffle=False)
        self._kept.append(flat[at].copy())

    def value(self) -> ChannelRows:
        if self._largest is None:
            raise DataError("the calibration data hold no samples")
        return ChannelRows(self._largest.astype(np.float64), np.concatenate(self._kept))
