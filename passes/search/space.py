"""`SearchSpace`: the plans of a problem as vectors of independent genes, so that every vector is a plan.

Widths of weights and of activations are genes of their own, as in MOHAQ (section 3.2): a gene of activations
for every component of layers that share one, a gene of weights for every group of tied layers. Where a target
does not run a pair, the nearest weight width that it runs beside that activation is taken.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from passes.allocation.groups import components, joint_options, tied_groups

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from passes.allocation.problem import AllocationProblem
    from passes.search.point import Choices

Genome = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Gene:
    """One decision.

    Attributes:
        acts: whether it is about an activation.
        widths: what it chooses from, in rising order.
        layers: indices of the layers that it decides for.
    """

    acts: bool
    widths: tuple[int, ...]
    layers: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class _Group:
    """Tied layers: their genes, and the choices of all members by ``(weight_bits, act_bits)``."""

    layers: tuple[int, ...]
    act_gene: int
    weight_gene: int
    options: dict[tuple[int, int], tuple[int, ...]]

    def nearest(self, weight_bits: int, act_bits: int) -> tuple[int, ...]:
        """Return the choices of the nearest weight width, the wider one of two, beside an activation."""
        offered = [weights for weights, acts in self.options if acts == act_bits]
        chosen = min(offered, key=lambda weights: (abs(weights - weight_bits), -weights))
        return self.options[chosen, act_bits]


class SearchSpace:
    """Genes of a problem, and the way from genomes to plans and back.

    Attributes:
        genes: in the order of the network, each activation before the weights that it meets.
    """

    def __init__(self, problem: AllocationProblem) -> None:
        """Find the genes of a problem."""
        self._problem = problem
        self.genes: list[Gene] = []
        self._groups: list[_Group] = []
        groups = tied_groups(problem.layers, problem.ties)
        for members in components(problem.layers, groups, problem.act_ties):
            self._add([groups[member] for member in members])
        self.sizes: NDArray[np.intp] = np.array([len(gene.widths) for gene in self.genes], dtype=np.intp)

    def _add(self, groups: list[tuple[int, ...]]) -> None:
        layers = self._problem.layers
        options = []
        for group in groups:
            first = layers[group[0]].choices
            joint = joint_options(layers, group)
            options.append({first[option[0]].pair: option for option in joint})
        shared = set.intersection(*({acts for _, acts in found} for found in options))
        act_gene = len(self.genes)
        self.genes.append(Gene(True, tuple(sorted(shared)), tuple(sorted(sum(groups, ())))))
        for group, found in zip(groups, options, strict=True):
            self._groups.append(_Group(group, act_gene, len(self.genes), found))
            widths = sorted({weights for weights, acts in found if acts in shared})
            self.genes.append(Gene(False, tuple(widths), group))

    def decode(self, genome: Genome) -> Choices:
        """Return the plan of a genome: of each gene, the index into its widths."""
        taken = [0] * len(self._problem.layers)
        widths = [gene.widths[index] for gene, index in zip(self.genes, genome, strict=True)]
        for group in self._groups:
            option = group.nearest(widths[group.weight_gene], widths[group.act_gene])
            for layer, choice in zip(group.layers, option, strict=True):
                taken[layer] = choice
        return tuple(taken)

    def encode(self, choices: Choices) -> Genome:
        """Return the genome of a plan."""
        genome = [0] * len(self.genes)
        for group in self._groups:
            first = group.layers[0]
            weights, acts = self._problem.layers[first].choices[choices[first]].pair
            genome[group.act_gene] = self.genes[group.act_gene].widths.index(acts)
            genome[group.weight_gene] = self.genes[group.weight_gene].widths.index(weights)
        return tuple(genome)

    def uniform(self, bits: int) -> Choices:
        """Return the plan whose widths are all as near to `bits` as can be, the wider one of two."""
        return self.decode(
            tuple(
                min(range(len(gene.widths)), key=lambda at: (abs(gene.widths[at] - bits), -gene.widths[at]))
                for gene in self.genes
            )
        )

    def widest(self) -> Choices:
        """Return the plan of the most bits."""
        return self.decode(tuple(int(size) - 1 for size in self.sizes))

    def draw(self, rng: np.random.Generator) -> Genome:
        """Draw a genome: every gene evenly between two levels that are drawn first.

        Drawn from all widths alike, every plan would cost about the same.
        """
        low, high = np.sort(rng.random(2))
        first = np.minimum((low * self.sizes).astype(np.intp), self.sizes - 1)
        last = np.minimum((high * self.sizes).astype(np.intp), self.sizes - 1)
        return tuple(int(value) for value in rng.integers(first, last + 1))

    def neighbour(self, genome: Genome, rng: np.random.Generator, changes: int = 1) -> Genome:
        """Move some genes that have a choice by one width, up or down."""
        free = np.flatnonzero(self.sizes > 1)
        moved = list(genome)
        for gene in rng.permutation(free)[:changes]:
            value = moved[gene] + (1 if rng.random() < 0.5 else -1)
            # At an end the only way is back.
            moved[gene] = 1 if value < 0 else value - 2 if value == self.sizes[gene] else value
        return tuple(int(value) for value in moved)
