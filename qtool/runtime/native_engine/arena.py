"""One block of memory for all tensors of a plan: tensors that are never alive together share bytes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from passes.errors import ArtifactError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

ALIGN = 64


@dataclass(frozen=True, slots=True)
class Life:
    """Bytes of a block of memory and the steps, both included, during which it is in use."""

    size: int
    born: int
    dies: int

    def meets(self, other: Life) -> bool:
        """Whether both are in use during some step."""
        return self.born <= other.dies and other.born <= self.dies


def place(lives: Mapping[str, Life]) -> tuple[dict[str, int], int]:
    """Give every block an offset; the largest first, each into the smallest gap that holds it.

    Returns:
        Offsets, multiples of `ALIGN`, and the bytes needed in total.
    """
    placed: list[tuple[int, Life]] = []
    offsets: dict[str, int] = {}
    for name, life in sorted(lives.items(), key=lambda item: (-item[1].size, item[1].born)):
        offset = _best_gap(life, [(start, other) for start, other in placed if life.meets(other)])
        offsets[name] = offset
        placed.append((offset, life))
    return offsets, max((start + life.size for start, life in placed), default=0)


def _best_gap(life: Life, neighbours: list[tuple[int, Life]]) -> int:
    """Start of the smallest gap between the neighbours that holds a block, or of the room behind them."""
    best, best_room, end = -1, 0, 0
    for start, other in sorted(neighbours, key=lambda item: item[0]):
        room = start - end
        if room >= life.size and (best < 0 or room < best_room):
            best, best_room = end, room
        end = max(end, _aligned(start + other.size))
    return end if best < 0 else best


def allocate(size: int) -> NDArray[np.uint8]:
    """Return bytes that begin on a cache line.

    Raises:
        ArtifactError: there is not as much memory.
    """
    try:
        memory = np.empty(size + ALIGN, np.uint8)
    except MemoryError as error:
        raise ArtifactError(
            f"the activations take {size} bytes, more than there are; use smaller batches"
        ) from error
    start = -memory.ctypes.data % ALIGN
    return memory[start : start + size]


def _aligned(size: int) -> int:
    return -(-size // ALIGN) * ALIGN
