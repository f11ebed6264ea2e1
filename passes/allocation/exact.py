"""Proven minimisation of a core: bound, round, fix, and solve what is left.

1. The Lagrangian dual (with links: the linear relaxation) gives a bound; rounding gives a choice; the
   difference is the gap.
2. An option whose forcing lifts the bound by more than the gap is in no better choice and is removed.
3. What remains goes to HiGHS. The first attempt guesses that the optimum lies within a share of the gap:
   fewer options are in play, and if the answer does lie there, it is proven just the same.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from time import monotonic
from typing import TYPE_CHECKING

import numpy as np

from passes.allocation.feasibility import conflict
from passes.allocation.highs import INFEASIBLE, OPTIMAL, make_program
from passes.allocation.lagrangian import maximise_dual
from passes.allocation.relaxation import relax
from passes.allocation.rounding import fill, repair

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from passes.allocation.core import Core
    from passes.allocation.highs import Program
    from passes.allocation.lagrangian import Dual

CLOSED = 1e-12
"""Relative gap below which float64 sums of thousands of terms say nothing."""

SHARES = (0.3, 1.0)
"""Share of the gap in which the optimum is sought, first and last."""

UNITS = (1e3, 1.0)
"""Gap in the units of the program: fine, and coarse for when the fine one is too much for HiGHS."""

ROUNDED = 3
"""Choices of the dual that are rounded."""

MAX_CUTS = 50
"""Answers of HiGHS that may fail the exact check of the budgets before the search is given up."""


@dataclass(frozen=True, slots=True)
class Minimum:
    """Options taken, a lower bound of the objective, and whether the two are proven to meet and so equal."""

    taken: NDArray[np.intp]
    bound: float
    proven: bool


def minimise(core: Core, deadline: float) -> Minimum:
    """Find the options of least objective within the budgets.

    Args:
        core: each of whose budgets can be met alone.
        deadline: of `time.monotonic`; later than this the best known choice is returned unproven.

    Raises:
        InfeasibleBudgetError: the budgets conflict.
    """
    bound, relaxed = core.tree.minimise(core.value)
    taken = core.agreeing(relaxed)
    met = np.array_equal(taken, relaxed) or core.total(taken) - bound <= CLOSED * abs(bound)
    if met and core.fits(taken):
        return Minimum(taken, bound, proven=True)
    dual = relax(core, deadline) if core.links else maximise_dual(core)
    rounded = _rounded(core, dual)
    known = find_feasible(core, deadline) if rounded is None else rounded
    return _close(core, dual, known, deadline)


def least_uses(core: Core, deadline: float) -> list[float]:
    """Return, per budget, the least that its metric can be when nothing else counts; out of time, a bound."""
    return [minimise(core.without_budgets(row), deadline).bound for row in core.use]


def find_feasible(core: Core, deadline: float) -> NDArray[np.intp]:
    """Find options that meet every budget: minimise the first budget's use within the others.

    Raises:
        InfeasibleBudgetError: the budgets conflict; names the least of the first one that is feasible.
    """
    others = replace(
        core, value=core.use[0], use=core.use[1:], limit=core.limit[1:], metrics=core.metrics[1:]
    )
    least = minimise(others, deadline)
    if not core.fits(least.taken):
        raise conflict(core, others.total(least.taken), proven=least.proven)
    return fill(core, least.taken)


def _rounded(core: Core, dual: Dual) -> NDArray[np.intp] | None:
    """Round some choices of the dual, those of the tightest bound first, and return the best that fits."""
    score = core.score(dual.price, dual.message)
    fitting = []
    for seen in reversed(dual.seen):
        taken = repair(core, seen, score)
        if taken is not None:
            fitting.append(fill(core, taken))
        if len(fitting) == ROUNDED:
            break
    return min(fitting, key=core.total, default=None)


def _close(core: Core, dual: Dual, taken: NDArray[np.intp], deadline: float) -> Minimum:
    """Close the gap between the dual and a choice that fits."""
    rises = core.tree.forced(core.score(dual.price, dual.message))
    finished = True
    for share in SHARES:
        noise = CLOSED * max(abs(core.total(taken)), abs(dual.bound))
        gap = core.total(taken) - dual.bound
        if gap <= noise:
            return Minimum(taken, dual.bound, proven=True)
        within = share * gap + noise
        answer, finished = _search(core, core.restrict(rises <= within), dual, within, deadline)
        if answer is not None and core.total(answer) < core.total(taken):
            taken = answer
        if finished and core.total(taken) <= dual.bound + within:
            break
    return Minimum(taken, core.total(taken) if finished else dual.bound, finished)


def _search(
    core: Core, small: Core, dual: Dual, within: float, deadline: float
) -> tuple[NDArray[np.intp] | None, bool]:
    """Return the best options of `small`, as options of `core`, and whether the search came to its end."""
    if small.tree.components < core.tree.components:
        return None, True
    answer: NDArray[np.intp] | None = None
    finished = False
    for units in UNITS:
        program = make_program(small, dual.price, dual.message, units / within)
        taken, finished = _solve(program, small, deadline)
        if taken is not None:
            answer = np.searchsorted(core.option, small.option[taken])
        if finished or monotonic() > deadline:
            break
    return answer, finished


def _solve(program: Program, small: Core, deadline: float) -> tuple[NDArray[np.intp] | None, bool]:
    """Ask HiGHS until its answer meets the budgets in exact sums; tell whether it is the best there is."""
    cuts: list[NDArray[np.intp]] = []
    while len(cuts) < MAX_CUTS:
        status, taken = program.solve(cuts, deadline - monotonic())
        if taken is None or small.fits(taken):
            return taken, status in {OPTIMAL, INFEASIBLE}
        # Within the tolerance of HiGHS but over a limit: ask again without this one.
        cuts.append(taken)
    return None, False
