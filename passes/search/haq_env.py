"""HAQ's episodes as a gymnasium environment: one decision per gene, a plan at the end; extra ``rl``."""

from __future__ import annotations

from queue import Queue
from typing import TYPE_CHECKING, Any

import gymnasium
import numpy as np

from passes.search.haq_projection import project

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from passes.search.point import Choices
    from passes.search.task import SearchTask

    State = NDArray[np.float32]

REWARD_SCALE = 0.1
"""Reward per percentage point of the metric (HAQ, section 3.3)."""
WORST = -100.0
"""Reward of a plan that could not be measured."""


class Closed(Exception):  # noqa: N818 - the end of a search is no error
    """The search has ended: nobody will answer any more."""


class HaqEnvironment(gymnasium.Env[Any, Any]):  # type: ignore[misc,unused-ignore]
    """Decides gene by gene; the plan at the end of an episode is measured by whoever reads `asked`.

    The state holds HAQ's eight static numbers of the layer, scaled to 0..1, the previous action, whether the
    gene is one of weights, and, so that one agent serves many budgets, the budget of the episode. An action
    from 0 to 1 picks a width by bins of equal size.

    Attributes:
        asked: plans to measure.
        answers: their losses in the same order; ``None`` ends the search.
        episodes: begun so far.
        steps: of an episode.
    """

    def __init__(self, task: SearchTask, features: NDArray[np.float64], ratios: tuple[float, ...]) -> None:
        """Prepare.

        Args:
            task: the problem; its first cost has the budget.
            features: shape (layers, 8).
            ratios: budgets of the episodes in turn, as shares of the cost of uniform 8 bits.
        """
        self._task, self._ratios = task, ratios
        span = np.ptp(features, axis=0)
        self._static = (features - features.min(axis=0)) / np.where(span > 0, span, 1.0)
        self.observation_space = gymnasium.spaces.Box(0.0, 1.0, (features.shape[1] + 3,), np.float32)
        self.action_space = gymnasium.spaces.Box(0.0, 1.0, (1,), np.float32)
        self.asked: Queue[Choices | None] = Queue()
        self.answers: Queue[float | None] = Queue()
        self.episodes = 0
        self.steps = len(task.space.genes)
        self._genome: list[int] = []
        self._previous = 1.0

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[State, dict[str, Any]]:
        """Begin an episode with the next budget."""
        super().reset(seed=seed, options=options)
        self._genome, self._previous = [], 1.0
        self._ratio = self._ratios[self.episodes % len(self._ratios)]
        self.episodes += 1
        return self._state(), {}

    def step(self, action: State) -> tuple[State, float, bool, bool, dict[str, Any]]:
        """Decide one gene; at the last one the plan is brought into the budget and measured.

        Raises:
            Closed: the search has ended.
        """
        gene = self._task.space.genes[len(self._genome)]
        self._previous = float(np.clip(action[0], 0.0, 1.0))
        self._genome.append(min(int(self._previous * len(gene.widths)), len(gene.widths) - 1))
        if len(self._genome) < self.steps:
            return self._state(), 0.0, False, False, {}
        genome = project(self._task, tuple(self._genome), self._ratio)
        self.asked.put(self._task.space.decode(genome))
        loss = self.answers.get()
        if loss is None:
            raise Closed
        reward = -REWARD_SCALE * 100 * loss if np.isfinite(loss) else WORST
        self._genome.pop()
        return self._state(), reward, True, False, {}

    def _state(self) -> State:
        gene = self._task.space.genes[len(self._genome)]
        last = (self._previous, float(not gene.acts), min(self._ratio, 1.0))
        return np.append(self._static[gene.layers[0]], last).astype(np.float32)
