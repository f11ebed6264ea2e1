"""AMED: Metropolis-Hastings over a table of scores [arXiv 2205.15437; Mathematics 2024, 12(12), 1810].

The paper samples during training; here the loss of a sampled plan is measured as it stands. Scores start
at random; after every plan the entries that it took are moved towards how much better it is than the
reference, ``log10(zeta_ref / zeta)`` with ``zeta = alpha * loss + beta * cost``; every gene then proposes a
width by the softmax of its scores and takes it with the ratio of the two probabilities.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from passes.search.point import Point
    from passes.search.solver import Proposals
    from passes.search.task import SearchTask

LEAST = 1e-6
"""Below this a plan costs nothing; keeps the logarithm finite."""


@dataclass(frozen=True, slots=True)
class Amed:
    """Chains that share nothing, each with a weight of its own between loss and costs.

    Attributes:
        betas: weight of the costs relative to the loss, one chain for each; the paper has 1.
        rate: share by which a score moves towards what was found (``ema`` in the authors' code).
        temperature: of the softmax.
    """

    betas: tuple[float, ...] = (0.25, 0.5, 1.0, 2.0)
    rate: float = 0.1
    temperature: float = 0.25

    def propose(self, task: SearchTask, rng: np.random.Generator) -> Proposals:
        """Sample for ever, one plan per chain at a time."""
        chains = [_Chain(task, beta, self, rng) for beta in self.betas]
        while True:
            points = yield [task.space.decode(chain.genome) for chain in chains]
            for chain, point in zip(chains, points, strict=True):
                chain.learn(point)
                chain.step(rng)


class _Chain:
    """One walk over the plans."""

    def __init__(self, task: SearchTask, beta: float, options: Amed, rng: np.random.Generator) -> None:
        self._task, self._beta, self._options = task, beta, options
        self._scores = [rng.random(int(size)) for size in task.space.sizes]
        self._reference = self._harm(1.0, np.ones(len(task.objectives) - 1))
        self.genome = task.space.encode(task.space.widest())

    def learn(self, point: Point) -> None:
        """Move the scores of the entries that a plan took."""
        low, high = np.array(self._task.reference).T
        names = self._task.objectives
        scaled = (np.array([point.get(name) for name in names]) - low) / (high - low)
        loss = min(float(scaled[0]), 1e3) + min(point.excess, 1e3)
        found = np.log10(self._reference / self._harm(loss, scaled[1:]))
        for scores, value in zip(self._scores, self.genome, strict=True):
            scores[value] += self._options.rate * (found - scores[value])

    def step(self, rng: np.random.Generator) -> None:
        """Let every gene propose a width and take or refuse it."""
        genome = []
        for scores, current in zip(self._scores, self.genome, strict=True):
            chance = softmax(scores / self._options.temperature)
            proposed = int(rng.choice(len(scores), p=chance))
            genome.append(proposed if rng.random() <= chance[proposed] / chance[current] else current)
        self.genome = tuple(genome)

    def _harm(self, loss: float, costs: NDArray[np.float64]) -> float:
        return max(max(loss, 0.0) + self._beta * float(costs.mean()), LEAST)


def softmax(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return probabilities that add up to one, shape as `scores`."""
    powers = np.exp(scores - scores.max())
    return np.asarray(powers / powers.sum())
