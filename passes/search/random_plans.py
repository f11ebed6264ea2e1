"""Random search: the control that every other solver has to beat."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

    from passes.search.solver import Proposals
    from passes.search.task import SearchTask


@dataclass(frozen=True, slots=True)
class RandomPlans:
    """Draws plans whose widths lie between two random levels.

    Attributes:
        batch: plans proposed at once.
    """

    batch: int = 16

    def propose(self, task: SearchTask, rng: np.random.Generator) -> Proposals:
        """Propose for ever; what was found is not looked at."""
        while True:
            yield [task.space.decode(task.space.draw(rng)) for _ in range(self.batch)]
