"""The Lagrangian dual: a proven lower bound, multipliers that price the budgets, and nearly feasible choices.

The budgets are moved into the objective with multipliers; what is left falls apart into components. The dual
function is concave and piecewise linear in as many variables as there are budgets, and is maximised with
cutting planes (J. E. Kelley, "The cutting-plane method for solving convex programs", 1960).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from passes.allocation.core import Core

MAX_CUTS = 300
FIRST_BOX = 16.0
LAST_BOX = 1e12
"""Largest multiplier tried first and last, in spans of the objective per span of the budget."""


@dataclass(frozen=True, slots=True)
class Dual:
    """What the relaxation proves and suggests.

    Attributes:
        bound: no choice within the budgets has a smaller objective.
        price: shape (budgets,), the best multipliers: objective per unit of each budget.
        message: shape (links,), the best multipliers of the links.
        seen: choices that were best for some multipliers, from the loosest bound to the tightest.
    """

    bound: float
    price: NDArray[np.float64]
    message: NDArray[np.float64]
    seen: tuple[NDArray[np.intp], ...]


def maximise_dual(core: Core) -> Dual:
    """Price the budgets of a core without links; any stopping point gives a valid bound."""
    scale = core.span(core.value) / np.array([core.span(row) for row in core.use])
    best, best_price = -np.inf, np.zeros(len(scale))
    price, box = best_price, FIRST_BOX
    seen: list[tuple[float, NDArray[np.intp]]] = []
    slopes: list[NDArray[np.float64]] = []
    sides: list[float] = []
    free = np.zeros(0)
    for _ in range(MAX_CUTS):
        lagrangian, taken = core.tree.minimise(core.score(price * scale, free))
        bound = lagrangian - float(price * scale @ core.limit)
        slope = scale * core.excess(taken)
        if bound > best:
            best, best_price = bound, price
        if any(np.array_equal(slope, other) for other in slopes):
            break
        seen.append((bound, taken))
        slopes.append(slope)
        sides.append(bound - float(slope @ price))
        price, box = _next_price(np.array(slopes), np.array(sides), best_price, box)
    seen.sort(key=lambda pair: pair[0])
    return Dual(best, best_price * scale, free, tuple(taken for _, taken in seen))


def _next_price(
    slopes: NDArray[np.float64], sides: NDArray[np.float64], centre: NDArray[np.float64], box: float
) -> tuple[NDArray[np.float64], float]:
    """Maximise the model made of all cuts over the box; the box grows while the maximum lies on its edge.

    The model is written around `centre`, so that it stays exact as it closes in on the optimum.
    """
    from scipy.optimize import linprog

    heights = sides + slopes @ centre
    top = heights.min()
    unit = max(float(np.abs(slopes).max()), 1e-300)
    goal = np.append(np.zeros(len(centre)), -1.0)
    cuts = np.hstack([-slopes / unit, np.ones((len(slopes), 1))])
    while True:
        bounds = [(-at, box - at) for at in centre] + [(None, None)]
        found = linprog(goal, cuts, (heights - top) / unit, bounds=bounds)
        if found.x is None:
            return centre, box
        price = np.maximum(centre + found.x[:-1], 0.0)
        if price.max() < box * (1 - 1e-9) or box >= LAST_BOX:
            return price, box
        box *= 16.0
