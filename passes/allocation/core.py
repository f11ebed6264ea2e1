"""`Core`: one objective, the budgets that limit it, and the options still in play."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from passes.allocation.dominance import undominated
from passes.errors import unknown_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from passes.allocation.budget import Budget
    from passes.allocation.compiled import CompiledProblem
    from passes.allocation.links import Links
    from passes.allocation.tree import OptionTree

SLACK = 5e-13
"""Share of a limit by which a sum may exceed it: the rounding of a sum of thousands of float64 numbers."""


@dataclass(frozen=True, slots=True)
class Core:
    """Minimise the sum of `value` over one option per cell while the sums of `use` stay within `limit`.

    Attributes:
        tree: what may be chosen together.
        option: shape (options,), index of each option in the compiled problem.
        value: shape (options,), the objective.
        use: shape (budgets, options).
        limit: shape (budgets,), `SLACK` included.
        metrics: name of what each budget limits.
        links: what the options taken have to agree on.
    """

    tree: OptionTree
    option: NDArray[np.intp]
    value: NDArray[np.float64]
    use: NDArray[np.float64]
    limit: NDArray[np.float64]
    metrics: tuple[str, ...]
    links: Links

    def restrict(self, keep: NDArray[np.bool_]) -> Core:
        """Return the core of the options in `keep`."""
        tree, kept = self.tree.restrict(keep)
        links = self.links.restrict(np.unique(self.tree.branch[self.tree.cell[kept]]))
        use = self.use[:, kept]
        return replace(
            self, tree=tree, option=self.option[kept], value=self.value[kept], use=use, links=links
        )

    def without_budgets(self, value: NDArray[np.float64]) -> Core:
        """Return the core that minimises another objective, shape (options,), within no budget at all."""
        return replace(self, value=value, use=self.use[:0], limit=self.limit[:0], metrics=())

    def score(self, price: NDArray[np.float64], message: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the objective plus the budgets and the links at a price each, shape (options,)."""
        score: NDArray[np.float64] = self.value + price @ self.use
        return self.links.spread(self.tree, message, score)

    def agreeing(self, taken: NDArray[np.intp]) -> NDArray[np.intp]:
        """Return the options taken with the pairs of branches that belong to them."""
        return self.links.agreeing(self.tree, taken)

    def total(self, taken: NDArray[np.intp]) -> float:
        """Return the objective of the options taken."""
        return float(self.value[taken].sum())

    def excess(self, taken: NDArray[np.intp]) -> NDArray[np.float64]:
        """Return by how much the options taken exceed each limit, shape (budgets,); negative is room left."""
        excess: NDArray[np.float64] = self.use[:, taken].sum(axis=1) - self.limit
        return excess

    def fits(self, taken: NDArray[np.intp]) -> bool:
        """Tell whether the options taken, which agree, meet every budget."""
        return bool(np.all(self.excess(taken) <= 0))

    def span(self, score: NDArray[np.float64]) -> float:
        """Return the largest minus the least total of a score, shape (options,); 1 when they are equal."""
        span = -self.tree.minimise(-score)[0] - self.tree.minimise(score)[0]
        return span if span > 0 else 1.0


def make_core(compiled: CompiledProblem, budgets: Sequence[Budget], objective: str) -> Core:
    """Select the columns that count and drop every option that another one dominates.

    Raises:
        UsageError: a metric that the problem does not have.
    """
    core = whole_core(compiled, budgets, objective)
    return core.restrict(undominated(np.vstack([core.value, core.use]), compiled.tree.cell))


def whole_core(compiled: CompiledProblem, budgets: Sequence[Budget], objective: str) -> Core:
    """Select the columns that count, of every option; errors as for `make_core`."""
    for metric in (objective, *(budget.metric for budget in budgets)):
        if metric not in compiled.names:
            raise unknown_name("metric", metric, compiled.names)
    value = compiled.column(objective)
    use = np.array([compiled.column(budget.metric) for budget in budgets]).reshape(len(budgets), len(value))
    limit = np.array([budget.limit + SLACK * abs(budget.limit) for budget in budgets])
    return Core(
        compiled.tree,
        np.arange(len(value)),
        value,
        use,
        limit,
        tuple(budget.metric for budget in budgets),
        compiled.links,
    )
