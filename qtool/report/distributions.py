"""The part of the report that shows how the values of the worst layers lie in their ranges."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class DistributionReport:
    """How often the values of one tensor occur, and which of them its integers can express.

    Attributes:
        layer: that multiplies it.
        tensor: its name.
        role: ``act`` or ``weight``.
        bits: of its integers.
        start: lower end of the first bin.
        width: of a bin.
        counts: values per bin.
        low: least value that the integers express; of a weight, in its widest channel.
        high: largest one.
        narrow_low: the least in the narrowest channel of a weight; as ``low`` where there is one scale.
        narrow_high: likewise.
    """

    layer: str
    tensor: str
    role: str
    bits: int
    start: float
    width: float
    counts: tuple[int, ...]
    low: float
    high: float
    narrow_low: float
    narrow_high: float
