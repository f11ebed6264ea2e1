"""AIMET's automatic mixed precision, as a baseline: rank every step down alone, then take them in that order.

[AIMET AMP, arXiv 2302.05397]: phase 1 measures each group of quantizers at each candidate, all others being
wide, and sorts by what is left of the metric; phase 2 walks that list, lowers one group after the other and
measures each plan, which gives a list of accuracies at costs. Phase 3, which removes needless conversions,
has no counterpart here: conversions are part of the costs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np

    from passes.search.solver import Proposals
    from passes.search.space import Genome, SearchSpace
    from passes.search.task import SearchTask


@dataclass(frozen=True, slots=True)
class Amp:
    """The greedy walk.

    Attributes:
        widths: candidates below the widest that every group is tried at; all that it has where empty.
    """

    widths: tuple[int, ...] = ()

    def propose(self, task: SearchTask, rng: np.random.Generator) -> Proposals:
        """Measure every step alone, then the plans of the walk; ends with the last of them."""
        del rng
        space = task.space
        top = space.encode(space.widest())
        steps = list(self._steps(space, top))
        alone = [space.decode(_with(top, gene, value)) for gene, value in steps]
        points = yield [space.widest(), *alone]
        order = sorted(zip(points[1:], steps, strict=True), key=lambda pair: (pair[0].loss, -pair[1][1]))
        genome = top
        for _, (gene, value) in order:
            if value < genome[gene]:
                genome = _with(genome, gene, value)
                yield [space.decode(genome)]

    def _steps(self, space: SearchSpace, top: Genome) -> Iterator[tuple[int, int]]:
        """Yield gene and value of every candidate."""
        for gene, (entry, widest) in enumerate(zip(space.genes, top, strict=True)):
            for value in range(widest):
                if not self.widths or entry.widths[value] in self.widths:
                    yield gene, value


def _with(genome: Genome, gene: int, value: int) -> Genome:
    return (*genome[:gene], value, *genome[gene + 1 :])
