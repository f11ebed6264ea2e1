"""A small core as a mixed-integer program for HiGHS.

The program is written around the choice that is best at the multipliers of the dual: an option costs the rise
of the bound that it causes, and the room that a budget has left costs its price. The objective is then the
distance from the bound itself, so that the absolute tolerances of HiGHS are tiny shares of the gap that is to
be closed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from passes.allocation.quiet import quiet_stdout

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from scipy.sparse import csr_array

    from passes.allocation.core import Core

LARGEST = 1e7
"""Largest coefficient that the scale of the objective may lead to."""

OPTIMAL, INFEASIBLE = 0, 2
"""Status of `scipy.optimize.milp`; everything else means that nothing was proven."""


@dataclass(frozen=True, slots=True)
class Program:
    """Options, then branches, then the room left in each budget; all sides are equalities.

    The rows count the options of cells and the branches of components, then link, then limit.

    Attributes:
        objective: shape (variables,).
        rows: shape (constraints, variables).
        sides: shape (constraints,).
        options: number of variables that are options.
        counts: number of rows that count.
        unit: units of the program per unit of the objective.
        weight: shape (budgets,), units of room per unit of what a budget limits.
    """

    objective: NDArray[np.float64]
    rows: csr_array
    sides: NDArray[np.float64]
    options: int
    counts: int
    unit: float
    weight: NDArray[np.float64]

    def solve(self, cuts: list[NDArray[np.intp]], time_limit_s: float) -> tuple[int, NDArray[np.intp] | None]:
        """Return the status of HiGHS and the options taken; choices in `cuts` are not allowed again."""
        from scipy.optimize import Bounds, LinearConstraint, milp

        width = len(self.objective)
        constraints = [LinearConstraint(self.rows, self.sides, self.sides)]
        for cut in cuts:
            mark = np.zeros(width)
            mark[cut] = 1.0
            constraints.append(LinearConstraint(mark[None, :], -np.inf, len(cut) - 1.0))
        upper = np.ones(width)
        upper[width - len(self.weight) :] = np.inf
        # The pairs of whole branches are whole anyway, but told so HiGHS finds more to cut.
        whole = (upper == 1.0).astype(np.uint8)
        with quiet_stdout():
            found = milp(
                self.objective,
                constraints=constraints,
                integrality=whole,
                bounds=Bounds(0, upper),
                options={"mip_rel_gap": 0.0, "time_limit": max(time_limit_s, 0.01)},
            )
        taken = None if found.x is None else np.flatnonzero(found.x[: self.options] > 0.5)
        return int(found.status), taken


def make_program(
    core: Core, price: NDArray[np.float64], message: NDArray[np.float64], scale: float
) -> Program:
    """Write a core as a program.

    Args:
        core: with at least one budget or link.
        price: shape (budgets,), multipliers of the dual.
        message: shape (links,), likewise.
        scale: units of the program per unit of the objective, positive; less where `LARGEST` asks for it.
    """
    from scipy.sparse import block_array, csr_array, eye_array

    score = core.score(price, message)
    rise = np.concatenate(core.tree.rises(score))
    shift = _shifts(core, score)
    largest = float((price[:, None] * np.abs(shift)).max(initial=0.0))
    unit = min(scale, LARGEST / largest) if largest > 0 else scale
    # A budget without a price costs nothing, and is scaled by its own largest coefficient.
    free = 1.0 / np.maximum(np.abs(shift).max(axis=1, initial=0.0), 1e-300)
    weight = np.where(price > 0, price * unit, free)
    counts, sides = _membership(core)
    budgets = len(price)
    links = core.links.rows(len(score), len(core.tree.component))
    limits = csr_array(weight[:, None] * shift)
    rows = block_array([[counts, None], [links, None], [limits, eye_array(budgets)]], format="csr")
    objective = np.concatenate([rise * unit, (price > 0).astype(np.float64)])
    home = core.tree.minimise(score)[1]
    room = -weight * core.excess(home)
    sides = np.concatenate([sides, np.zeros(len(core.links.branch)), room])
    return Program(objective, rows, sides, len(score), counts.shape[0], unit, weight)


def _shifts(core: Core, score: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return what an option adds to each budget over the best of its cell, and a branch over the best one."""
    tree = core.tree
    base = core.use[:, tree.best_in_cells(score)]
    sums = [np.bincount(tree.branch, weights=cells) for cells in base]
    branch = np.array(sums).reshape(len(base), len(tree.component))
    home = tree.best_branches(score)
    return np.hstack([core.use - base[:, tree.cell], branch - branch[:, home[tree.component]]])


def _membership(core: Core) -> tuple[csr_array, NDArray[np.float64]]:
    """Return rows and sides for: a cell has an option if its branch is taken; a component has one branch."""
    from scipy.sparse import csr_array

    tree = core.tree
    options, cells, branches = len(tree.cell), len(tree.branch), len(tree.component)
    row = np.concatenate([tree.cell, np.arange(cells), cells + tree.component])
    column = np.concatenate([np.arange(options), options + tree.branch, options + np.arange(branches)])
    entry = np.concatenate([np.ones(options), -np.ones(cells), np.ones(branches)])
    shape = (cells + tree.components, options + branches)
    sides = np.concatenate([np.zeros(cells), np.ones(tree.components)])
    return csr_array((entry, (row, column)), shape=shape), sides
