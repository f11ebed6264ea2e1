"""From a choice beyond the budgets into them, one cheapest step at a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from passes.allocation.core import Core

    Options: TypeAlias = NDArray[np.intp]
    Branches: TypeAlias = list[list[Options]]

NOISE = 1e-12
"""Share of a budget's span below which a gain is rounding."""


@dataclass(frozen=True, slots=True)
class _Step:
    """Where a component would go, what that does to the use of each budget, and how it ranks."""

    ratio: float
    options: Options
    change: NDArray[np.float64]


def descend(core: Core, weight_bits: Options, taken: Options) -> Options | None:
    """Return options within the budgets, starting from options beyond them; ``None`` when no step helps.

    A step gives a component another option in one cell, or another branch with the nearest weight bits. Taken
    is the one with the least rise of the objective per relief of the budgets, each measured by its span. A
    budget counts from when it is first exceeded, so that every step lowers one sum and the descent ends.

    Args:
        core: with at least one budget if `taken` does not fit.
        weight_bits: shape (options,).
        taken: options to start from.
    """
    unit = np.array([core.span(row) for row in core.use])
    pieces = [_branches(core, component) for component in range(core.tree.components)]
    state, excess = _by_component(core, taken), core.excess(taken)
    exceeded = np.zeros(len(unit), dtype=bool)
    steps: list[_Step] = []
    while np.any(excess > 0):
        if np.any((excess > 0) & ~exceeded):
            exceeded |= excess > 0
            moves = (_moves(*pair, weight_bits) for pair in zip(pieces, state, strict=True))
            steps = [_best_step(core, rows, exceeded / unit) for rows in moves]
            ratios = np.array([step.ratio for step in steps])
        at = int(np.argmin(ratios))
        if not np.isfinite(ratios[at]):
            return None
        state[at], excess = steps[at].options, excess + steps[at].change
        steps[at] = _best_step(core, _moves(pieces[at], state[at], weight_bits), exceeded / unit)
        ratios[at] = steps[at].ratio
        if not np.any(excess > 0):
            # The running sums have gathered rounding; the last word is an exact one.
            excess = core.excess(np.concatenate(state))
    return np.concatenate(state)


def _best_step(core: Core, moves: Options, weight: NDArray[np.float64]) -> _Step:
    """Return the best row of `moves`, the first being the present place; an infinite ratio if none helps."""
    value = core.value[moves].sum(axis=1)
    change = core.use[:, moves].sum(axis=2)
    change -= change[:, :1]
    relief = -weight @ change
    useful = relief > NOISE
    ratio = np.where(useful, (value - value[0]) / np.where(useful, relief, 1.0), np.inf)
    best = int(np.argmin(ratio))
    return _Step(float(ratio[best]), moves[best], change[:, best])


def _moves(branches: Branches, now: Options, weight_bits: Options) -> Options:
    """Return where a component can go in one step, shape (moves, cells); the first row is where it is."""
    rows = [now]
    for cells in branches:
        if now[0] in cells[0]:
            for at, cell in enumerate(cells):
                block = np.repeat(now[None, :], len(cell), axis=0)
                block[:, at] = cell
                rows.extend(block)
        else:
            near = [
                cell[np.argmin(np.abs(weight_bits[cell] - weight_bits[old]))]
                for cell, old in zip(cells, now, strict=True)
            ]
            rows.append(np.array(near, dtype=np.intp))
    return np.array(rows)


def _branches(core: Core, component: int) -> Branches:
    """Return, per branch of a component, the options of each cell."""
    tree = core.tree
    branches = _members(tree.component, component)
    return [[_members(tree.cell, cell) for cell in _members(tree.branch, branch)] for branch in branches]


def _by_component(core: Core, taken: Options) -> list[Options]:
    component = core.tree.component[core.tree.branch[core.tree.cell[taken]]]
    return np.split(taken, np.flatnonzero(np.diff(component)) + 1)


def _members(part: Options, number: int) -> Options:
    low, high = np.searchsorted(part, [number, number + 1])
    return np.arange(low, high)
