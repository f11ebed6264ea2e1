"""From a choice that is nearly right to one that fits the budgets, and on to one that wastes nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from passes.allocation.core import Core

NOISE = 1e-7
"""Share of the violation below which a gain is rounding."""

MAX_STEPS = 20_000


def repair(core: Core, taken: NDArray[np.intp], score: NDArray[np.float64]) -> NDArray[np.intp] | None:
    """Swap options until every budget is met, each time the least rise of `score` per violation removed.

    Branches stay as they are. Returns ``None`` when no swap helps.
    """
    unit = np.array([core.span(row) for row in core.use])[:, None]
    for _ in range(MAX_STEPS):
        excess = core.excess(taken)[:, None]
        if np.all(excess <= 0):
            return taken
        moves, old = _swaps(core, taken)
        after = np.maximum(excess + (core.use[:, moves] - core.use[:, taken[old]]), 0.0)
        gain = ((np.maximum(excess, 0.0) - after) / unit).sum(axis=0)
        rise = score[moves] - score[taken[old]]
        # Rounding would be followed for ever.
        helps = np.flatnonzero(gain > NOISE * (np.maximum(excess, 0.0) / unit).sum())
        if not len(helps):
            return None
        pick = helps[np.argmin(rise[helps] / gain[helps])]
        taken = _swapped(taken, old[pick], moves[pick])
    return None


def fill(core: Core, taken: NDArray[np.intp]) -> NDArray[np.intp]:
    """Swap options while a swap lowers the objective within the budgets, the largest drop first."""
    for _ in range(MAX_STEPS):
        moves, old = _swaps(core, taken)
        drop = core.value[taken[old]] - core.value[moves]
        fits = core.use[:, moves] - core.use[:, taken[old]] <= -core.excess(taken)[:, None]
        drop = np.where(np.all(fits, axis=0), drop, 0.0)
        pick = int(np.argmax(drop)) if len(drop) else 0
        if not len(drop) or not drop[pick] > 0:
            return taken
        taken = _swapped(taken, old[pick], moves[pick])
    return taken


def _swaps(core: Core, taken: NDArray[np.intp]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return every other option of the cells in use, and the position in `taken` that each would replace."""
    position = np.full(len(core.tree.branch), -1, dtype=np.intp)
    position[core.tree.cell[taken]] = np.arange(len(taken))
    old = position[core.tree.cell]
    old[taken] = -1
    moves = np.flatnonzero(old >= 0)
    return moves, old[moves]


def _swapped(taken: NDArray[np.intp], position: int, option: int) -> NDArray[np.intp]:
    after = taken.copy()
    after[position] = option
    return after
