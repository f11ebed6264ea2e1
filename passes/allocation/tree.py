"""`OptionTree`: what may be chosen together, as flat arrays; minimising an additive score is one sweep.

A *component* takes one of its *branches*; a branch is a list of *cells*; each cell takes one of its
*options*. A free layer is a component of one branch with one cell. Layers joined by an act tie have one
branch per shared ``act_bits``. Components with boundaries have one per ``act_bits`` as well, and each joint
between two of them is a component with one branch per pair of theirs, which `Links` hold to the two.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class OptionTree:
    """Three levels of membership, each array not decreasing and without gaps.

    Attributes:
        cell: shape (options,), the cell of each option.
        branch: shape (cells,), the branch of each cell.
        component: shape (branches,), the component of each branch.
    """

    cell: NDArray[np.intp]
    branch: NDArray[np.intp]
    component: NDArray[np.intp]

    def minimise(self, score: NDArray[np.float64]) -> tuple[float, NDArray[np.intp]]:
        """Return the least total of `score`, shape (options,), and the options that attain it, in order.

        Among equal scores the first option and the first branch are taken.
        """
        _, branches = self._sums(score)
        branch = self._first_branches(branches)
        taken = np.zeros(len(branches), dtype=bool)
        taken[branch] = True
        return float(branches[branch].sum()), self.best_in_cells(score)[taken[self.branch]]

    def best_in_cells(self, score: NDArray[np.float64]) -> NDArray[np.intp]:
        """Return, shape (cells,), the first option of least score in each cell."""
        cells, _ = self._sums(score)
        return _first_per_part(score == cells[self.cell], self.cell)

    def best_branches(self, score: NDArray[np.float64]) -> NDArray[np.intp]:
        """Return, shape (components,), the first branch of least score in each component."""
        return self._first_branches(self._sums(score)[1])

    def rises(self, score: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return how far an option lies above its cell's best, and a branch above its component's best."""
        cells, branches = self._sums(score)
        best = np.minimum.reduceat(branches, _starts(self.component))
        return score - cells[self.cell], branches - best[self.component]

    def forced(self, score: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return, shape (options,), by how much the least total rises when an option is forced."""
        option, branch = self.rises(score)
        return option + branch[self.branch][self.cell]

    def restrict(self, keep: NDArray[np.bool_]) -> tuple[OptionTree, NDArray[np.intp]]:
        """Return the tree of the options in `keep`, and their indices; a branch with an empty cell goes.

        A component that loses every branch is missing from the result.
        """
        filled = np.bincount(self.cell[keep], minlength=len(self.branch)) > 0
        whole = np.ones(len(self.component), dtype=bool)
        np.logical_and.at(whole, self.branch, filled)
        kept = np.flatnonzero(keep & whole[self.branch[self.cell]])
        cells, cell = np.unique(self.cell[kept], return_inverse=True)
        branches, branch = np.unique(self.branch[cells], return_inverse=True)
        component = np.unique(self.component[branches], return_inverse=True)[1]
        return OptionTree(cell, branch, component), kept

    @property
    def components(self) -> int:
        """Number of components."""
        return int(self.component[-1]) + 1 if len(self.component) else 0

    def _sums(self, score: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        cells = np.minimum.reduceat(score, _starts(self.cell))
        return cells, np.add.reduceat(cells, _starts(self.branch))

    def _first_branches(self, branches: NDArray[np.float64]) -> NDArray[np.intp]:
        best = np.minimum.reduceat(branches, _starts(self.component))
        return _first_per_part(branches == best[self.component], self.component)


def _starts(part: NDArray[np.intp]) -> NDArray[np.intp]:
    return np.flatnonzero(np.diff(part, prepend=-1))


def _first_per_part(mark: NDArray[np.bool_], part: NDArray[np.intp]) -> NDArray[np.intp]:
    marked = np.flatnonzero(mark)
    return marked[_starts(part[marked])]
