"""The part of the reports that names tensors whose range a few values dominate."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from passes.analysis.outliers import Outlier

SHOWN = 10
"""Rows in report.md; report.json has all."""


@dataclass(frozen=True, slots=True)
class OutlierReport:
    """A tensor whose range a few values dominate.

    Attributes:
        tensor: its name.
        role: ``act`` or ``weight``.
        channel: output channel of a weight where it is worst; ``None`` for an activation.
        channels: how many output channels of the weight this holds of; ``None`` for an activation.
        largest: largest magnitude, in the unit of the tensor.
        usual: magnitude that 99.99 % of the values (of a channel of a weight: 99 %) do not exceed.
        ratio: of the two.
        advice: what can be done about it.
    """

    tensor: str
    role: str
    channel: int | None
    channels: int | None
    largest: float
    usual: float
    ratio: float
    advice: str

    @classmethod
    def of(cls, found: Outlier) -> OutlierReport:
        """Return the entry for one finding."""
        where = (found.tensor, found.role, found.channel, found.channels)
        return cls(*where, found.largest, found.usual, found.ratio, found.advice)


def outlier_rows(outliers: tuple[OutlierReport, ...]) -> list[tuple[object, ...]]:
    """Return the rows of the table in report.md, worst first."""
    return [
        (
            entry.tensor if entry.channel is None else f"{entry.tensor}, channel {entry.channel}",
            entry.largest,
            entry.usual,
            f"{entry.ratio:.1f}",
            entry.advice,
        )
        for entry in outliers[:SHOWN]
    ]
