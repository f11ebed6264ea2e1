"""`CompiledProblem`: an allocation problem as arrays; the solvers see nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from passes.allocation.groups import components, joint_options, tied_groups
from passes.allocation.joints import find_joints, pair_table
from passes.allocation.problem import LOSS
from passes.allocation.tables import cost_tables
from passes.allocation.tree import OptionTree

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from passes.allocation.choices import LayerChoices
    from passes.allocation.joints import Joints
    from passes.allocation.links import Links
    from passes.allocation.problem import AllocationProblem


@dataclass(frozen=True, slots=True)
class CompiledProblem:
    """Options of tied groups, in the order of an `OptionTree`.

    Attributes:
        tree: what may be chosen together.
        names: ``loss`` and then the cost metrics.
        values: shape (names, options); what an option adds to each, summed over the layers of its group.
        weight_bits: shape (options,).
        places: per option, the layers of its group and the choice that each of them takes, as indices.
        layers: number of layers.
        links: what pairs of branches cost together; the pairs are options without a place.
    """

    tree: OptionTree
    names: tuple[str, ...]
    values: NDArray[np.float64]
    weight_bits: NDArray[np.intp]
    places: tuple[tuple[tuple[int, ...], tuple[int, ...]], ...]
    layers: int
    links: Links

    def column(self, name: str) -> NDArray[np.float64]:
        """Return what each option adds to ``loss`` or to a cost metric, shape (options,)."""
        column: NDArray[np.float64] = self.values[self.names.index(name)]
        return column

    def choices(self, options: NDArray[np.intp]) -> tuple[int, ...]:
        """Return the choice index of every layer, given the options taken."""
        taken = [0] * self.layers
        for option in options:
            for layer, choice in zip(*self.places[option], strict=True):
                taken[layer] = choice
        return tuple(taken)


@dataclass(frozen=True, slots=True)
class _Block:
    """The options of one group: joint choices, values of shape (names, options), bits of shape (options,)."""

    group: tuple[int, ...]
    joint: tuple[tuple[int, ...], ...]
    values: NDArray[np.float64]
    weight_bits: NDArray[np.intp]
    act_bits: NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class _Branch:
    """What the groups of a component can take together; `act_bits` is their width where one is shared."""

    component: int
    act_bits: int
    cells: tuple[tuple[_Block, NDArray[np.intp]], ...]


def compile_problem(problem: AllocationProblem) -> CompiledProblem:
    """Lay the choices of a problem out as arrays.

    A component of several groups, or with a boundary to another one, gets one branch per ``act_bits`` that
    all of its groups offer, in rising order. The pairs of the boundaries come after all layers. The fixed
    part is in every choice of the first layer, of which one is always taken.

    Raises:
        ProblemError: there are too many pairs of widths at boundaries.
    """
    groups = tied_groups(problem.layers, problem.ties)
    parts = components(problem.layers, groups, problem.act_ties)
    home = {
        problem.layers[layer].name: number
        for number, members in enumerate(parts)
        for group in members
        for layer in groups[group]
    }
    joints = find_joints(problem, home)
    tables = cost_tables(problem, home)
    blocks = [_block(problem.layers, group, tables) for group in groups]
    touched = {end for ends in joints for end in ends}
    branches = [
        branch
        for number, members in enumerate(parts)
        for branch in _branches(number, [blocks[group] for group in members], split=number in touched)
    ]
    return _assemble(problem, branches, joints, home)


def _assemble(
    problem: AllocationProblem, branches: Sequence[_Branch], joints: Joints, home: Mapping[str, int]
) -> CompiledProblem:
    """Concatenate the options of all branches and, behind them, one option per pair of a boundary."""
    component = np.array([branch.component for branch in branches], dtype=np.intp)
    act_bits = np.array([branch.act_bits for branch in branches], dtype=np.intp)
    pairs = pair_table(joints, home, problem.metrics, component, act_bits)
    count = len(pairs.joint)
    order = [cell for branch in branches for cell in branch.cells]
    branch_of = np.repeat(np.arange(len(branches)), [len(branch.cells) for branch in branches])
    cell = np.repeat(np.arange(len(order)), [len(row) for _, row in order])
    tree = OptionTree(
        np.append(cell, len(order) + np.arange(count)),
        np.append(branch_of, len(branches) + np.arange(count)),
        np.append(component, component[-1] + 1 + pairs.joint),
    )
    values = np.concatenate([*(block.values[:, row] for block, row in order), pairs.values], axis=1)
    bits = np.concatenate([*(block.weight_bits[row] for block, row in order), np.zeros(count, dtype=np.intp)])
    places = [(block.group, block.joint[at]) for block, row in order for at in row]
    empty: list[tuple[tuple[int, ...], tuple[int, ...]]] = [((), ())] * count
    names = (LOSS, *problem.metrics)
    return CompiledProblem(tree, names, values, bits, tuple(places + empty), len(problem.layers), pairs.links)


def _block(
    layers: Sequence[LayerChoices], group: tuple[int, ...], tables: Sequence[NDArray[np.float64]]
) -> _Block:
    joint = joint_options(layers, group)
    index = np.array(joint, dtype=np.intp).T
    values = np.sum([tables[member][:, row] for member, row in zip(group, index, strict=True)], axis=0)
    first = layers[group[0]].choices
    weight_bits = np.array([first[at].weight_bits for at in index[0]], dtype=np.intp)
    act_bits = np.array([first[at].act_bits for at in index[0]], dtype=np.intp)
    return _Block(group, joint, values, weight_bits, act_bits)


def _branches(number: int, blocks: Sequence[_Block], *, split: bool) -> Iterator[_Branch]:
    """Yield the branches of a component; one of a single group has only one unless it is to be split."""
    if len(blocks) == 1 and not split:
        yield _Branch(number, 0, ((blocks[0], np.arange(len(blocks[0].joint))),))
        return
    shared = set.intersection(*(set(block.act_bits.tolist()) for block in blocks))
    for act_bits in sorted(shared):
        cells = tuple((block, np.flatnonzero(block.act_bits == act_bits)) for block in blocks)
        yield _Branch(number, act_bits, cells)
