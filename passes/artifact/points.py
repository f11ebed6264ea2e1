"""`Points`: a channel of weights as the sum of several rows of codes, each with an integer multiplier.

Channel c is ``base[c] * sum over its rows of multiplier[row] * codes[row]``, the multipoint form of Liu et
al. 2020 (arXiv 2002.09049) with coefficients that are whole multiples of one scale: sums stay integers, and
are rounded once.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from passes.errors import ArtifactError

if TYPE_CHECKING:
    from passes.artifact.constants import ConstantReader, ConstantWriter
    from passes.artifact.fields import Fields

MAX_POINTS = 16
"""Most rows of a channel."""
MAX_MULTIPLIER = 255
SUM_BITS = 16
"""Width of the codes that the rows of a channel add up to."""


@dataclass(frozen=True, slots=True, eq=False)
class Points:
    """Rows of a weight that belong together, those of a channel one after the other.

    Attributes:
        counts: int64 (channels,), rows of each channel, in 1..16.
        multiplier: int64 (rows,), in 1..255.
    """

    counts: NDArray[np.int64] = field(repr=False)
    multiplier: NDArray[np.int64] = field(repr=False)

    @property
    def channels(self) -> NDArray[np.int64]:
        """The channel of every row, shape (rows,)."""
        return np.repeat(np.arange(len(self.counts)), self.counts)

    def check(self, where: str, rows: int, bits: int) -> None:
        """Raise `ArtifactError` unless the points fit a weight of so many rows and bits."""
        if not self.counts.size or np.any((self.counts < 1) | (self.counts > MAX_POINTS)):
            raise ArtifactError(f"{where}: expected 1..{MAX_POINTS} points for each channel")
        if int(self.counts.sum()) != rows or self.multiplier.shape != (rows,):
            raise ArtifactError(
                f"{where}: {rows} rows, but points for {int(self.counts.sum())} and "
                f"{self.multiplier.size} multipliers"
            )
        if np.any((self.multiplier < 1) | (self.multiplier > MAX_MULTIPLIER)):
            raise ArtifactError(f"{where}: a multiplier lies outside 1..{MAX_MULTIPLIER}")
        if int(self.sum_rows(self.multiplier, 0).max()) > 1 << SUM_BITS - bits:
            raise ArtifactError(f"{where}: the points of a channel add up to more than {SUM_BITS} bits")

    def combine(self, codes: NDArray[np.integer], axis: int) -> NDArray[np.int32]:
        """Add up the rows of every channel, each times its multiplier.

        Args:
            codes: less their zero points; its `axis` runs over rows.
            axis: becomes one over channels.
        """
        shape = [1] * codes.ndim
        shape[axis] = -1
        return self.sum_rows(codes.astype(np.int32) * self.multiplier.astype(np.int32).reshape(shape), axis)

    def sum_rows(self, values: NDArray[Any], axis: int) -> NDArray[Any]:
        """Add up the rows of every channel; `axis` runs over rows before and over channels after."""
        starts = np.cumsum(self.counts) - self.counts
        return np.asarray(np.add.reduceat(values, starts, axis=axis))


def points_to_json(points: Points, constants: ConstantWriter) -> dict[str, Any]:
    """Return the JSON object of points; their numbers go to the pool."""
    return {"counts": constants.add(points.counts), "multiplier": constants.add(points.multiplier)}


def points_from_json(fields: Fields, constants: ConstantReader) -> Points:
    """Read what `points_to_json` wrote; raises `ArtifactError` for anything else."""
    counts = constants.read(fields.child("counts"))
    multiplier = constants.read(fields.child("multiplier"))
    fields.done()
    return Points(counts, multiplier)
