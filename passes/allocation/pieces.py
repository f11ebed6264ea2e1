"""Components of a core as pieces that move one at a time, each with the joints that it shares with others."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from passes.allocation.core import Core

    Options: TypeAlias = NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Piece:
    """A component.

    Attributes:
        branches: per branch, the options of each cell.
        joints: other pieces, each with the option of every pair, shape (own branches, branches of the other).
    """

    branches: list[list[Options]]
    joints: list[tuple[int, Options]]


def make_pieces(core: Core) -> list[Piece]:
    """Return the components that layers belong to, in order."""
    tree, links = core.tree, core.links
    branches = _members(tree.component)
    cells, options = _members(tree.branch), _members(tree.cell)
    home = tree.component[links.branch[links.link]]
    pairs = tree.component[links.pair]
    nodes = int(pairs[0]) if links else tree.components
    pieces = [
        Piece([[options[cell] for cell in cells[branch]] for branch in branches[number]], [])
        for number in range(nodes)
    ]
    for at in np.flatnonzero(np.diff(pairs, prepend=-1)):
        low, high = (int(end) for end in home[:, at])
        shape = len(branches[low]), len(branches[high])
        # A pair has one cell and one option, so that its options lie as its branches do.
        table = np.searchsorted(tree.branch[tree.cell], branches[int(pairs[at])]).reshape(shape)
        pieces[low].joints.append((high, table))
        pieces[high].joints.append((low, table.T))
    return pieces


@dataclass(slots=True)
class State:
    """Where every piece is: its options, and the branch that they are in."""

    pieces: list[Piece]
    options: list[Options]
    branch: list[int]

    def moves(self, number: int, weight_bits: Options) -> tuple[Options, list[int]]:
        """Return where a piece can go in one step and the branch of each place; the first is where it is.

        A step gives a piece another option in one cell, or another branch with the nearest weight bits.

        Returns:
            Options of shape (places, cells and joints), and branches.
        """
        piece, now = self.pieces[number], self.options[number]
        rows, homes = [now], [self.branch[number]]
        for branch, cells in enumerate(piece.branches):
            new = _within(now, cells) if branch == homes[0] else [_nearest(now, cells, weight_bits)]
            rows.extend(new)
            homes.extend([branch] * len(new))
        joints = [table[homes, self.branch[other]] for other, table in piece.joints]
        return np.column_stack([np.array(rows), *joints]), homes

    def move(self, number: int, options: Options, branch: int) -> None:
        """Put a piece on options of one of its branches; those of joints follow."""
        self.options[number] = options[: len(self.options[number])]
        self.branch[number] = branch

    def affected(self, number: int) -> set[int]:
        """Return the pieces whose moves change when a piece has moved."""
        return {number, *(other for other, _ in self.pieces[number].joints)}


def make_state(core: Core, taken: Options) -> State:
    """Return the pieces where some options have them."""
    tree, pieces = core.tree, make_pieces(core)
    branch = tree.branch[tree.cell[taken]]
    component = tree.component[branch]
    first = np.searchsorted(tree.component, np.arange(len(pieces)))
    start = np.searchsorted(component, np.arange(len(pieces) + 1))
    options = [taken[low:high] for low, high in pairwise(start)]
    return State(pieces, options, [int(at) for at in branch[start[:-1]] - first])


def _within(now: Options, cells: list[Options]) -> list[Options]:
    """Return the places that differ from the present one in one cell of its branch, or in none."""
    rows: list[Options] = []
    for at, cell in enumerate(cells):
        block = np.repeat(now[None, :], len(cell), axis=0)
        block[:, at] = cell
        rows.extend(block)
    return rows


def _nearest(now: Options, cells: list[Options], weight_bits: Options) -> Options:
    near = [
        cell[np.argmin(np.abs(weight_bits[cell] - weight_bits[old]))]
        for cell, old in zip(cells, now, strict=True)
    ]
    return np.array(near, dtype=np.intp)


def _members(part: Options) -> list[Options]:
    """Return the indices of each number in an array that does not decrease and has no gaps."""
    return np.split(np.arange(len(part)), np.flatnonzero(np.diff(part)) + 1)
