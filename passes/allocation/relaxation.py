"""The dual of a core with links, from its linear relaxation.

Budgets and links are moved into the objective with multipliers, after which every component is free of the
others; for any multipliers the minimum of what is left is a bound. There are as many links as branches at
boundaries, too many for cutting planes, so the multipliers are those of one linear program; the bound is then
computed from them anew and does not rest on the tolerances of its solver.
"""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING

import numpy as np

from passes.allocation.highs import make_program
from passes.allocation.lagrangian import Dual

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from passes.allocation.core import Core
    from passes.allocation.highs import Program

LEAST_SECONDS = 2.0
"""Time that the linear program gets even when there is none left: without it the bound is worth little."""


def relax(core: Core, deadline: float) -> Dual:
    """Price the budgets and the links of a core; out of time, the prices are zero and the bound still holds.

    Args:
        core: with links.
        deadline: of `time.monotonic`.
    """
    price, message = np.zeros(len(core.limit)), np.zeros(len(core.links.branch))
    program = make_program(core, price, message, 1.0 / core.span(core.value))
    shares = None
    found = _solve(program, max(deadline - monotonic(), LEAST_SECONDS))
    if found is not None:
        shares, marginals = found
        unit = program.unit
        price = np.maximum(-marginals[len(marginals) - len(price) :] * program.weight / unit, 0.0)
        message = -marginals[program.counts : len(marginals) - len(price)] / unit
    score = core.score(price, message)
    lagrangian, home = core.tree.minimise(score)
    seen = [core.agreeing(home)]
    if shares is not None:
        seen.append(_nearest(core, score, shares[len(score) : len(score) + len(core.tree.component)]))
    return Dual(lagrangian - float(price @ core.limit), price, message, tuple(seen))


def _solve(program: Program, seconds: float) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """Return the variables at the optimum and the marginals of the rows; ``None`` when there is no time."""
    from scipy.optimize import linprog

    # The type stubs do not know that the rows may be sparse.
    found = linprog(  # type: ignore[call-overload]
        program.objective,
        A_eq=program.rows,
        b_eq=program.sides,
        bounds=(0, None),
        method="highs",
        options={"time_limit": seconds},
    )
    return None if found.x is None or found.status != 0 else (found.x, found.eqlin.marginals)


def _nearest(core: Core, score: NDArray[np.float64], shares: NDArray[np.float64]) -> NDArray[np.intp]:
    """Return the options of least score in the branches that have the largest share, shape (branches,)."""
    order = np.lexsort((-shares, core.tree.component))
    first = np.diff(core.tree.component[order], prepend=-1) > 0
    taken = np.zeros(len(shares), dtype=bool)
    taken[order[first]] = True
    return core.agreeing(core.tree.best_in_cells(score)[taken[core.tree.branch]])
