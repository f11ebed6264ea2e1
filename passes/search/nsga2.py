"""NSGA-II over measured loss and any costs, as in MOHAQ [arXiv 2108.01192, section 3.4]; extra ``search``."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from passes.allocation.ilp import Ilp
from passes.search.budgets import BudgetSweep
from passes.search.solver import missing_package

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from passes.search.point import Choices, Point
    from passes.search.solver import Proposals
    from passes.search.space import Genome
    from passes.search.task import SearchTask

LOST = 1e6
"""Loss of a plan that could not be measured, in units of the reference loss."""


@dataclass(frozen=True, slots=True)
class Nsga2:
    """Non-dominated sorting with constraints; settings are MOHAQ's.

    Attributes:
        population: plans that are kept.
        offspring: plans per generation.
        eta: distribution index of integer SBX (probability 1) and of integer polynomial mutation.
        seeds: share of the first population that is taken from the exact solver at as many budgets; the
            rest is drawn. 0 is the control.
        time_limit_s: for each budget of a seed.
    """

    population: int = 40
    offspring: int = 10
    eta: float = 3.0
    seeds: float = 0.5
    time_limit_s: float = 10.0

    def propose(self, task: SearchTask, rng: np.random.Generator) -> Proposals:
        """Breed for ever.

        Raises:
            UsageError: pymoo is not installed.
        """
        first = self._first(task, rng)
        algorithm = self._algorithm(task, np.array(first), int(rng.integers(2**31)))
        space = task.space
        while True:
            asked = algorithm.ask()
            if asked is None:
                return
            points = yield [space.decode(tuple(int(gene) for gene in row)) for row in asked.get("X")]
            asked.set("F", _objectives(task, points))
            asked.set("G", np.array([[point.excess] for point in points]))
            for individual in asked:
                individual.evaluated.update({"F", "G"})
            algorithm.tell(infills=asked)

    def _first(self, task: SearchTask, rng: np.random.Generator) -> list[Genome]:
        """Return different genomes: seeds, then drawn ones."""
        wanted = round(self.seeds * self.population)
        found = dict.fromkeys(task.space.encode(choices) for choices in self._seeds(task, wanted))
        for _ in range(20 * self.population):
            if len(found) >= self.population:
                break
            found[task.space.draw(rng)] = None
        return list(found)

    def _seeds(self, task: SearchTask, wanted: int) -> Sequence[Choices]:
        """Return the exact solver's plans; costs that are no sums have none."""
        if not wanted or task.not_summed & set(task.objectives):
            return ()
        return list(islice(BudgetSweep(task, task.problem, Ilp(), self.time_limit_s).plans(wanted), wanted))

    def _algorithm(self, task: SearchTask, first: NDArray[np.intp], seed: int) -> Any:
        try:
            from pymoo.algorithms.moo.nsga2 import NSGA2
            from pymoo.config import Config
            from pymoo.core.problem import Problem
            from pymoo.core.termination import NoTermination
            from pymoo.operators.crossover.sbx import SBX
            from pymoo.operators.mutation.pm import PM
            from pymoo.operators.repair.rounding import RoundingRepair
        except ImportError as error:
            raise missing_package("nsga2", "pymoo", "search") from error
        Config.warnings["not_compiled"] = False
        sizes, repair = task.space.sizes, RoundingRepair()
        problem = Problem(
            n_var=len(sizes),
            n_obj=len(task.objectives),
            n_ieq_constr=1,
            xl=np.zeros(len(sizes), dtype=int),
            xu=sizes - 1,
            vtype=int,
        )
        algorithm = NSGA2(
            pop_size=self.population,
            n_offsprings=self.offspring,
            sampling=first,
            crossover=SBX(prob=1.0, eta=self.eta, vtype=float, repair=repair),
            mutation=PM(eta=self.eta, vtype=float, repair=repair),
            eliminate_duplicates=True,
        )
        algorithm.setup(problem, seed=seed, verbose=False, termination=NoTermination())
        return algorithm


def unseeded() -> Nsga2:
    """Return the control, which knows nothing of the exact solver."""
    return Nsga2(seeds=0.0)


def _objectives(task: SearchTask, points: Sequence[Point]) -> NDArray[np.float64]:
    """Return scaled objectives, shape (points, objectives), all finite."""
    low, high = np.array(task.reference).T
    table = np.array([[point.get(name) for name in task.objectives] for point in points])
    return np.asarray(np.nan_to_num((table - low) / (high - low), posinf=LOST))
