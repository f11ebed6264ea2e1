"""`Runs`: multipliers of groups of weights, each a run of codes in stored order."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from passes.errors import ArtifactError

if TYPE_CHECKING:
    from passes.artifact.constants import ConstantReader, ConstantWriter
    from passes.artifact.fields import Fields

SIZES = (16, 32, 64, 128)
MAX_MULTIPLIER = 255
MAX_RUNS = 1 << 22


@dataclass(frozen=True, slots=True, eq=False)
class Runs:
    """Every `size` consecutive input channels, at one kernel position, share a multiplier.

    Attributes:
        size: input channels of a run; the last of a kernel position may have fewer.
        multiplier: int64 (channels, taps x runs of a tap), in 1..255.
    """

    size: int
    multiplier: NDArray[np.int64] = field(repr=False)

    def check(self, where: str, channels: int, taps: int, inner: int) -> None:
        """Raise `ArtifactError` unless there is a multiplier for each run of a weight of these extents."""
        if self.size not in SIZES:
            raise ArtifactError(f"{where}: expected groups of {SIZES} input channels, found {self.size}")
        expected = (channels, taps * -(-inner // self.size))
        if self.multiplier.shape != expected:
            raise ArtifactError(
                f"{where}: expected multipliers of shape {expected}, found {self.multiplier.shape}"
            )
        if np.any((self.multiplier < 1) | (self.multiplier > MAX_MULTIPLIER)):
            raise ArtifactError(f"{where}: a multiplier lies outside 1..{MAX_MULTIPLIER}")

    def spread(self, shape: tuple[int, ...]) -> NDArray[np.int32]:
        """Return the multiplier of every code of a weight of stored `shape` (channels, taps ..., input)."""
        rows = self.multiplier.reshape(*shape[:-1], -1)
        return np.repeat(rows, self.size, axis=-1)[..., : shape[-1]].astype(np.int32)


def runs_to_json(runs: Runs, constants: ConstantWriter) -> dict[str, Any]:
    """Return the JSON object of runs; their multipliers go to the pool."""
    return {
        "size": runs.size,
        "channels": len(runs.multiplier),
        "multiplier": constants.add(runs.multiplier.reshape(-1)),
    }


def runs_from_json(fields: Fields, constants: ConstantReader) -> Runs:
    """Read what `runs_to_json` wrote; raises `ArtifactError` for anything else."""
    size, channels = fields.integer("size", 1, max(SIZES)), fields.integer("channels", 1, MAX_RUNS)
    multiplier = constants.read(fields.child("multiplier"))
    fields.done()
    if multiplier.size % channels:
        raise ArtifactError(f"{fields.where}: {multiplier.size} multipliers for {channels} channels")
    return Runs(size, multiplier.reshape(channels, -1))
