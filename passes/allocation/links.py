"""`Links`: which branches of an option tree must be taken together, because a cost depends on both.

What two components cost together is a component of its own behind them, with one branch of a single option
per *pair* of their branches. A link ties it to one branch of one of the two: the branch is taken exactly when
one of its pairs is. That makes a cost of two decisions a plain sum over options, within linear constraints
(the local polytope of M. J. Wainwright and M. I. Jordan, "Graphical Models, Exponential Families, and
Variational Inference", 2008, section 4.1).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from scipy.sparse import csr_array

    from passes.allocation.tree import OptionTree

GONE = -1


@dataclass(frozen=True, slots=True)
class Links:
    """Constraints on branches; restricting a tree leaves their number as it is.

    Attributes:
        branch: shape (links,), the branch whose taking equals the sum over its pairs; `GONE` if removed.
        pair: shape (pairs,), the branches that stand for a pair.
        link: shape (2, pairs), the links that each pair is in.
    """

    branch: NDArray[np.intp]
    pair: NDArray[np.intp]
    link: NDArray[np.intp]

    def __bool__(self) -> bool:
        """Tell whether anything is linked."""
        return len(self.branch) > 0

    def restrict(self, branches: NDArray[np.intp]) -> Links:
        """Return the links among the branches kept, given in rising order."""
        if not self:
            return self
        kept = np.isin(self.pair, branches)
        stays = np.isin(self.branch, branches)
        branch = np.where(stays, np.searchsorted(branches, self.branch), GONE)
        return Links(branch, np.searchsorted(branches, self.pair[kept]), self.link[:, kept])

    def agreeing(self, tree: OptionTree, taken: NDArray[np.intp]) -> NDArray[np.intp]:
        """Return options with the pairs that go with the branches taken in place of those they had."""
        if not self:
            return taken
        branch = tree.branch[tree.cell]
        is_pair = np.zeros(len(tree.component), dtype=bool)
        is_pair[self.pair] = True
        plain = taken[~is_pair[branch[taken]]]
        # The place after the last stands for the branches that are gone, and is never taken.
        on = np.zeros(len(tree.component) + 1, dtype=bool)
        on[branch[plain]] = True
        pairs = self.pair[np.all(on[self.branch[self.link]], axis=0)]
        return np.concatenate([plain, np.searchsorted(branch, pairs)])

    def spread(
        self, tree: OptionTree, message: NDArray[np.float64], score: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Return a score, shape (options,), with the links at a price each; `message` has shape (links,).

        What a branch pays is paid by the options of its first cell.
        """
        if not self:
            return score
        branch = np.zeros(len(tree.component))
        held = self.branch != GONE
        np.add.at(branch, self.branch[held], message[held])
        branch[self.pair] -= message[self.link].sum(axis=0)
        first_cell = np.diff(tree.branch, prepend=-1) > 0
        return score + np.where(first_cell[tree.cell], branch[tree.branch[tree.cell]], 0.0)

    def rows(self, options: int, branches: int) -> csr_array:
        """Return the links as rows over options and then branches that are to be zero."""
        from scipy.sparse import csr_array

        held = np.flatnonzero(self.branch != GONE)
        row = np.concatenate([held, *self.link])
        column = options + np.concatenate([self.branch[held], self.pair, self.pair])
        entry = np.concatenate([np.ones(len(held)), -np.ones(2 * len(self.pair))])
        return csr_array((entry, (row, column)), shape=(len(self.branch), options + branches))


def no_links() -> Links:
    """Return the links of a tree whose components are free of each other."""
    none = np.zeros(0, dtype=np.intp)
    return Links(none, none, np.zeros((2, 0), dtype=np.intp))
