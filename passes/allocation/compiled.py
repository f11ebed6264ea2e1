"""`CompiledProblem`: an allocation problem as arrays; the solvers see nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from passes.allocation.groups import components, joint_options, tied_groups
from passes.allocation.problem import LOSS
from passes.allocation.tree import OptionTree

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from passes.allocation.choices import LayerChoices
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
    """

    tree: OptionTree
    names: tuple[str, ...]
    values: NDArray[np.float64]
    weight_bits: NDArray[np.intp]
    places: tuple[tuple[tuple[int, ...], tuple[int, ...]], ...]
    layers: int

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


def compile_problem(problem: AllocationProblem) -> CompiledProblem:
    """Lay the choices of a problem out as arrays.

    A component of several groups gets one branch per ``act_bits`` that all of them offer, in rising order.
    """
    names = (LOSS, *problem.metrics)
    groups = tied_groups(problem.layers, problem.ties)
    tables = [_table(layer, problem.metrics) for layer in problem.layers]
    blocks = [_block(problem.layers, group, tables) for group in groups]
    cell: list[NDArray[np.intp]] = []
    order: list[tuple[_Block, NDArray[np.intp]]] = []
    branch: list[int] = []
    component: list[int] = []
    for number, members in enumerate(components(problem.layers, groups, problem.act_ties)):
        for rows in _branches([blocks[group] for group in members]):
            for group, row in zip(members, rows, strict=True):
                cell.append(np.full(len(row), len(branch), dtype=np.intp))
                order.append((blocks[group], row))
                branch.append(len(component))
            component.append(number)
    tree = OptionTree(
        np.concatenate(cell), np.array(branch, dtype=np.intp), np.array(component, dtype=np.intp)
    )
    values = np.concatenate([block.values[:, row] for block, row in order], axis=1)
    bits = np.concatenate([block.weight_bits[row] for block, row in order])
    places = tuple((block.group, block.joint[at]) for block, row in order for at in row)
    return CompiledProblem(tree, names, values, bits, places, len(problem.layers))


def _table(layer: LayerChoices, metrics: tuple[str, ...]) -> NDArray[np.float64]:
    """Return loss and costs of a layer, shape (names, choices)."""
    rows = [[choice.loss, *(choice.cost[metric] for metric in metrics)] for choice in layer.choices]
    return np.array(rows, dtype=np.float64).T


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


def _branches(blocks: Sequence[_Block]) -> Iterator[list[NDArray[np.intp]]]:
    """Yield, per branch of a component, the options that each of its groups has in it."""
    if len(blocks) == 1:
        yield [np.arange(len(blocks[0].joint))]
        return
    shared = set.intersection(*(set(block.act_bits.tolist()) for block in blocks))
    for act_bits in sorted(shared):
        yield [np.flatnonzero(block.act_bits == act_bits) for block in blocks]
