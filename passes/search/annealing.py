"""Simulated annealing: a control that follows its measurements one step at a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from passes.search.point import Point
    from passes.search.solver import Proposals
    from passes.search.task import SearchTask


@dataclass(frozen=True, slots=True)
class Annealing:
    """Several chains, each of which minimises objectives of its own weights [Kirkpatrick et al. 1983].

    Weights are spread evenly where there are two objectives and drawn where there are more; a plan outside
    the budgets costs what it exceeds them by.

    Attributes:
        chains: number of chains; one plan of each is proposed at a time.
        first, last: temperature at the beginning and after `cooling` steps, as a share of the range of the
            objectives.
        cooling: steps from the first to the last temperature, which then stays.
        changes: genes that a step moves, at most.
    """

    chains: int = 8
    first: float = 0.1
    last: float = 0.002
    cooling: int = 60
    changes: int = 3

    def propose(self, task: SearchTask, rng: np.random.Generator) -> Proposals:
        """Move the chains for ever."""
        space, weights = task.space, self._weights(len(task.objectives), rng)
        genomes = [space.encode(space.widest()) for _ in range(self.chains)]
        points = yield [space.decode(genome) for genome in genomes]
        energies = _energies(task, points, weights)
        for step in range(10**9):
            share = min(step / self.cooling, 1.0)
            temperature = self.first * (self.last / self.first) ** share
            moved = [
                space.neighbour(genome, rng, int(rng.integers(1, self.changes + 1))) for genome in genomes
            ]
            points = yield [space.decode(genome) for genome in moved]
            found = _energies(task, points, weights)
            accepted = np.log(rng.random(self.chains)) < (energies - found) / temperature
            genomes = [new if yes else old for new, old, yes in zip(moved, genomes, accepted, strict=True)]
            energies = np.where(accepted, found, energies)

    def _weights(self, objectives: int, rng: np.random.Generator) -> NDArray[np.float64]:
        if objectives == 2:
            share = (np.arange(self.chains) + 0.5) / self.chains
            return np.stack([share, 1 - share], axis=1)
        return rng.dirichlet(np.ones(objectives), self.chains)


def _energies(task: SearchTask, points: Sequence[Point], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the weighted sum of scaled objectives, shape (points,); a lost plan is as bad as can be."""
    low, high = np.array(task.reference).T
    table = np.array([[point.get(name) for name in task.objectives] for point in points])
    scaled = np.nan_to_num((table - low) / (high - low), posinf=1e3)
    return np.asarray((scaled * weights).sum(axis=1) + np.minimum([point.excess for point in points], 1e3))
