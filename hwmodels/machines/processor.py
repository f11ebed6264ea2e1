"""Processor cores with vector instructions that sum products of bytes, such as VPDPBUSD and SDOT."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from hwmodels.machines.blocked import BlockedMachine


@dataclass(frozen=True)
class Processor(BlockedMachine):
    """One core of a processor that runs a blocked matrix product behind a cache.

    latency = overhead + max(cycles / clock, traffic / bandwidth), where cycles = padded MACs / rate(w, a) +
    outputs * epilogue. Weights below the width of the instruction are widened in registers at no cost that
    shows in a matrix product, so they gain speed only where memory is the bound. The measured rate of
    depthwise layers has their epilogue in it.
    """

    widths: ClassVar[frozenset[int]] = frozenset({2, 4, 6, 7, 8, 16})
