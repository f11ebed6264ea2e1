"""From a choice beyond the budgets into them, one cheapest step at a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from passes.allocation.pieces import make_state

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from passes.allocation.core import Core
    from passes.allocation.pieces import State

    Options: TypeAlias = NDArray[np.intp]

NOISE = 1e-12
"""Share of a budget's span below which a gain is rounding."""


@dataclass(frozen=True, slots=True)
class _Step:
    """Where a piece would go, what that does to the use of each budget, and how it ranks."""

    ratio: float
    options: Options
    branch: int
    change: NDArray[np.float64]


def descend(core: Core, weight_bits: Options, taken: Options) -> Options | None:
    """Return options within the budgets, starting from options beyond them; ``None`` when no step helps.

    A step moves one piece, and is priced with what it changes at its joints. Taken is the one with the least
    rise of the objective per relief of the budgets, each measured by its span. A budget counts from when it
    is first exceeded, so that every step lowers one sum and the descent ends.

    Args:
        core: with at least one budget if `taken` does not fit.
        weight_bits: shape (options,).
        taken: options to start from, which agree.
    """
    unit = np.array([core.span(row) for row in core.use])
    state, excess = make_state(core, taken), core.excess(taken)
    exceeded = np.zeros(len(unit), dtype=bool)
    steps: list[_Step] = []
    while np.any(excess > 0):
        if np.any((excess > 0) & ~exceeded):
            exceeded |= excess > 0
            steps = [
                _best_step(core, state, at, weight_bits, exceeded / unit) for at in range(len(state.pieces))
            ]
            ratios = np.array([step.ratio for step in steps])
        at = int(np.argmin(ratios))
        if not np.isfinite(ratios[at]):
            return None
        state.move(at, steps[at].options, steps[at].branch)
        excess = excess + steps[at].change
        for other in state.affected(at):
            steps[other] = _best_step(core, state, other, weight_bits, exceeded / unit)
            ratios[other] = steps[other].ratio
        if not np.any(excess > 0):
            # The running sums have gathered rounding; the last word is an exact one.
            excess = core.excess(core.agreeing(np.concatenate(state.options)))
    return core.agreeing(np.concatenate(state.options))


def _best_step(
    core: Core, state: State, number: int, weight_bits: Options, weight: NDArray[np.float64]
) -> _Step:
    """Return the best move of a piece; an infinite ratio if none helps."""
    moves, branches = state.moves(number, weight_bits)
    value = core.value[moves].sum(axis=1)
    change = core.use[:, moves].sum(axis=2)
    change -= change[:, :1]
    relief = -weight @ change
    useful = relief > NOISE
    ratio = np.where(useful, (value - value[0]) / np.where(useful, relief, 1.0), np.inf)
    best = int(np.argmin(ratio))
    return _Step(float(ratio[best]), moves[best], branches[best], change[:, best])
