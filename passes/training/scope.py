"""How much of a graph is reconstructed at a time."""

from __future__ import annotations

from enum import StrEnum


class Scope(StrEnum):
    """How much is reconstructed at a time."""

    BLOCK = "block"
    """The layers between two places that one activation crosses."""
    LAYER = "layer"
    """One layer, with what follows it."""
