"""Layers and precisions as arrays, so that thousands of prices are one formula.

Shapes are (layers, 1) for what a layer has and (layers or 1, pairs) for what a precision has: every formula
broadcasts to (layers, pairs). Counts are float64, exact up to 2**53.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from hwmodels.types import Precision
    from hwmodels.workload import Workload

    Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class LayerArrays:
    """Geometry of layers, one column of shape (layers, 1) per attribute of `Workload`, and the layers."""

    works: tuple[Workload, ...]
    batch: Floats
    groups: Floats
    in_channels: Floats
    out_channels: Floats
    taps: Floats
    rows: Floats
    columns: Floats
    depth: Floats
    in_elements: Floats
    out_elements: Floats
    rhs_elements: Floats
    weight_count: Floats
    multiplier_count: Floats
    index_bits: Floats
    table_bytes: Floats
    steps: Floats
    depthwise: Floats

    @classmethod
    def of(cls, works: Sequence[Workload]) -> LayerArrays:
        """Lay the geometry of layers out as columns."""
        names = [field.name for field in fields(cls)[1:]]
        table = np.array([[getattr(work, name) for name in names] for work in works], dtype=np.float64)
        columns = table.reshape(len(works), len(names)).T[:, :, np.newaxis]
        return cls(tuple(works), *columns)

    @property
    def macs(self) -> Floats:
        """Multiply-accumulate operations over the whole batch."""
        return self.groups * self.rows * self.columns * self.depth

    @property
    def activations(self) -> Floats:
        """Activation elements read and written once."""
        return self.in_elements + self.rhs_elements + self.out_elements


@dataclass(frozen=True, slots=True, eq=False)
class PairArrays:
    """Bits of weights and of activations, each of shape (layers or 1, pairs)."""

    weight: Floats
    act: Floats

    @classmethod
    def row(cls, precisions: Sequence[Precision]) -> PairArrays:
        """Lay precisions out as one row that holds for every layer."""
        pairs = np.array([(it.weight_bits, it.act_bits) for it in precisions], dtype=np.float64)
        return cls(*pairs.reshape(-1, 2).T[:, np.newaxis, :])

    @classmethod
    def column(cls, precisions: Sequence[Precision]) -> PairArrays:
        """Lay precisions out as one column: its own for every layer."""
        row = cls.row(precisions)
        return cls(row.weight.T, row.act.T)


@dataclass(frozen=True, slots=True, eq=False)
class Estimate:
    """What an architecture says of layers, each of shape (layers, pairs); ``None`` is unknown.

    What comes after the cycles is as in `Cost`.
    """

    latency_s: Floats | None = None
    energy_j: Floats | None = None
    cycles: Floats | None = None
    compute_s: Floats | None = None
    memory_s: Floats | None = None
    traffic_bytes: Floats | None = None
    on_chip_j: Floats | None = None
    off_chip_j: Floats | None = None
