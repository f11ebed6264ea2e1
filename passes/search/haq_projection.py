"""HAQ's projection: an episode's plan is lowered, last layer first, until it is within its budget."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from passes.search.space import Genome
    from passes.search.task import SearchTask


def project(task: SearchTask, genome: Genome, ratio: float) -> Genome:
    """Lower a plan into a budget on the first cost.

    From the last layer to the first, activations before weights, every width goes down by one step, over and
    over, until the cost is met or nothing is left to lower (HAQ, section 3.2).

    Args:
        task: the problem.
        genome: of the plan.
        ratio: budget as a share of the cost of uniform 8 bits.
    """
    name, space = task.objectives[1], task.space
    limit = ratio * task.costs(space.uniform(8))[name]
    order = sorted(
        range(len(space.genes)), key=lambda at: (-max(space.genes[at].layers), not space.genes[at].acts)
    )
    lowered = list(genome)
    while task.costs(space.decode(tuple(lowered)))[name] > limit and any(lowered):
        for gene in order:
            if lowered[gene]:
                lowered[gene] -= 1
                if task.costs(space.decode(tuple(lowered)))[name] <= limit:
                    return tuple(lowered)
    return tuple(lowered)
