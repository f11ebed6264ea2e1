"""Runs a solver: measures what it proposes, keeps what is found, stops when it is enough."""

from __future__ import annotations

from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING, Protocol

import numpy as np

from passes.html_table import html_table
from passes.search.front import hypervolume, pareto_front

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from passes.search.point import Choices, Evaluation, Point
    from passes.search.solver import SearchSolver
    from passes.search.task import SearchTask

PATIENCE = 50
"""Rounds in a row without a new plan after which a solver is taken to have found all that it will."""


class Measures(Protocol):
    """Measures plans; see `passes.search.evaluator.Evaluator`."""

    def measure(self, batch: Sequence[Choices]) -> Iterator[tuple[Choices, Evaluation]]:
        """Yield every plan with its evaluation, as they come in."""
        ...


@dataclass(frozen=True, slots=True)
class Limits:
    """When to stop.

    Attributes:
        evaluations: different plans, cached ones included, so that a resumed search ends where an
            uninterrupted one would have.
        seconds: wall-clock time; infinite for no limit.
    """

    evaluations: int
    seconds: float = float("inf")


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a search is.

    Attributes:
        evaluations: plans measured.
        limit: plans that may be.
        best: least loss within the budgets; infinite while there is none.
        hypervolume: share of the volume between the ideal and the reference point that is dominated.
        seconds_left: of the time limit.
    """

    evaluations: int
    limit: int
    best: float
    hypervolume: float
    seconds_left: float


@dataclass(frozen=True, slots=True)
class SearchResult:
    """What a search found.

    Attributes:
        points: every plan that was measured, in the order of proposal.
        front: those that no other beats, within the budgets.
        hypervolume: of the front, as in `Progress`.
        stopped: why the search ended: ``evaluations``, ``time``, ``solver`` (nothing left to propose).
        seconds: wall-clock time.
    """

    points: tuple[Point, ...]
    front: tuple[Point, ...]
    hypervolume: float
    stopped: str
    seconds: float

    def _repr_html_(self) -> str:
        names = list(self.front[0].costs) if self.front else []
        rows = [
            (at, point.evaluation.value, point.loss, *(point.costs[name] for name in names), point.estimate)
            for at, point in enumerate(self.front)
        ]
        head = ("point", "value", "loss", *names, "expected loss")
        return html_table(f"Front of {len(self.points)} plans", head, rows)


def search(
    task: SearchTask,
    solver: SearchSolver,
    evaluator: Measures,
    limits: Limits,
    seed: int = 0,
    tell: Callable[[Progress], None] = lambda progress: None,
) -> SearchResult:
    """Search for the front of a task.

    The same seed gives the same front, whatever the number of workers, unless time runs out.

    Raises:
        UsageError: the solver refuses the task.
    """
    run = _Run(task, evaluator, limits, tell)
    proposals = solver.propose(task, np.random.default_rng(seed))
    idle = 0
    try:
        batch = next(proposals)
        while run.take(batch):
            idle = 0 if run.new else idle + 1
            if idle == PATIENCE:
                break
            batch = proposals.send([run.archive[choices] for choices in batch])
    except StopIteration:
        pass
    finally:
        proposals.close()
    return run.result()


class _Run:
    """The archive of one search and its limits."""

    def __init__(
        self, task: SearchTask, evaluator: Measures, limits: Limits, tell: Callable[[Progress], None]
    ) -> None:
        self._task, self._evaluator, self._limits, self._tell = task, evaluator, limits, tell
        self._start = monotonic()
        self._stopped = "solver"
        self._front: tuple[Point, ...] = ()
        self.archive: dict[Choices, Point] = {}
        self.new = 0

    def take(self, batch: Sequence[Choices]) -> bool:
        """Measure what is new in a batch; false when not all of it could be."""
        fresh = [choices for choices in dict.fromkeys(batch) if choices not in self.archive]
        room = fresh[: self._limits.evaluations - len(self.archive)]
        self.new, found = len(fresh), {}
        measured = self._evaluator.measure(room)
        for choices, evaluation in measured:
            found[choices] = self._task.point(choices, evaluation)
            self._report(found[choices], len(self.archive) + len(found))
            if self._left() <= 0 and len(found) < len(room):
                self._stopped = "time"
                break
        self.archive |= {choices: found[choices] for choices in room if choices in found}
        if len(room) < len(fresh) and self._stopped != "time":
            self._stopped = "evaluations"
        if self._left() <= 0:
            self._stopped = "time"
        return self._stopped == "solver"

    def result(self) -> SearchResult:
        points = tuple(self.archive.values())
        front = pareto_front(points, self._task.objectives)
        volume = volume_of(self._task, front)
        return SearchResult(points, front, volume, self._stopped, monotonic() - self._start)

    def _left(self) -> float:
        return self._limits.seconds - (monotonic() - self._start)

    def _report(self, point: Point, count: int) -> None:
        self._front = pareto_front((*self._front, point), self._task.objectives)
        best = min((point.loss for point in self._front), default=float("inf"))
        volume = volume_of(self._task, self._front)
        self._tell(Progress(count, self._limits.evaluations, best, volume, max(self._left(), 0.0)))


def volume_of(task: SearchTask, front: Sequence[Point]) -> float:
    """Return the share of the volume between the ideal and the reference point that a front dominates.

    A plan that happens to be better than the float model counts as one that is as good.
    """
    if not front:
        return 0.0
    low, high = np.array(task.reference).T
    table = np.array([[point.get(name) for name in task.objectives] for point in front])
    return hypervolume(np.maximum((table - low) / (high - low), 0.0), np.ones(len(low)))
