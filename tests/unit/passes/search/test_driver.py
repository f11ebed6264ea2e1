from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from dataclasses import replace

import numpy as np
import pytest
from made_problem import Stub

from passes.allocation import Budget
from passes.errors import UsageError
from passes.search.driver import Limits, Progress, search
from passes.search.point import Choices, Evaluation, Point
from passes.search.random_plans import RandomPlans
from passes.search.solver import SEARCH_SOLVERS, search_solver
from passes.search.task import SearchTask

MODEL_FREE = [name for name in SEARCH_SOLVERS if name not in ("ompq", "quadratic", "haq")]


Rounds = Generator[list[Choices], Sequence[Point], None]


class Fixed:
    """Proposes given batches and keeps what it is sent."""

    def __init__(self, *batches: list[Choices]) -> None:
        self.batches, self.sent = batches, list[Sequence[Point]]()

    def propose(self, task: SearchTask, rng: np.random.Generator) -> Rounds:
        del task, rng
        for batch in self.batches:
            self.sent.append((yield batch))


@pytest.mark.parametrize("name", MODEL_FREE)
def test_a_solver_keeps_to_its_evaluations_and_its_seed(name: str, task: SearchTask, stub: Stub) -> None:
    if name.startswith("nsga2"):
        pytest.importorskip("pymoo")
    # Every plan of a sweep is an integer program.
    limits = Limits(6 if name == "sweep" else 30)
    first = search(task, search_solver(name), stub, limits, 3)
    again = search(task, search_solver(name), Stub(task.problem), limits, 3)
    assert first.front == again.front
    assert len(stub.seen) == len(set(stub.seen)) == len(first.points) <= limits.evaluations
    assert first.hypervolume > 0


def test_the_solver_is_sent_a_point_for_every_plan_in_its_order(task: SearchTask, stub: Stub) -> None:
    wide, narrow = task.space.widest(), task.space.uniform(2)
    solver = Fixed([wide, narrow, wide], [narrow])
    result = search(task, solver, stub, Limits(10))
    assert [[point.choices for point in batch] for batch in solver.sent] == [[wide, narrow, wide], [narrow]]
    assert stub.seen == [wide, narrow]
    assert (result.stopped, len(result.points)) == ("solver", 2)
    assert result.points[0].loss == pytest.approx(stub.loss(wide))


def test_evaluations_end_a_search_inside_a_batch(task: SearchTask, stub: Stub) -> None:
    plans = [task.space.uniform(bits) for bits in (2, 4, 8)]
    result = search(task, Fixed(plans), stub, Limits(2))
    assert [point.choices for point in result.points] == plans[:2]
    assert result.stopped == "evaluations"


def test_time_ends_a_search(task: SearchTask, stub: Stub) -> None:
    result = search(task, RandomPlans(), stub, Limits(10**6, 0.05))
    assert result.stopped == "time"
    assert 0 < len(result.points) < 10**6


def test_a_solver_that_repeats_itself_is_stopped(task: SearchTask, stub: Stub) -> None:
    wide = task.space.widest()
    result = search(task, Fixed(*[[wide]] * 1000), stub, Limits(10))
    assert (len(result.points), result.stopped) == (1, "solver")


def test_a_plan_that_cannot_be_measured_is_marked_and_the_search_goes_on(task: SearchTask) -> None:
    wide, narrow = task.space.widest(), task.space.uniform(2)
    stub = Stub(task.problem, failing=frozenset({wide}))
    result = search(task, Fixed([wide, narrow]), stub, Limits(10))
    assert [bool(point.evaluation.failure) for point in result.points] == [True, False]
    assert [point.choices for point in result.front] == [narrow]


def test_budgets_on_costs_and_on_the_measured_loss_hold_on_the_front(task: SearchTask, stub: Stub) -> None:
    limit = task.costs(task.space.uniform(4))["latency_s"]
    bounded = replace(task, budgets=(Budget("latency_s", limit), Budget("loss", 0.4)))
    result = search(bounded, search_solver("annealing"), stub, Limits(150))
    assert result.front
    assert all(point.get("latency_s") <= limit and point.loss <= 0.4 for point in result.front)


def test_a_plan_better_than_the_float_model_counts_as_one_as_good(task: SearchTask, stub: Stub) -> None:
    plans = [task.space.widest()]
    same = search(task, Fixed(plans), stub, Limits(1))
    lucky = search(replace(task, float_value=0.5), Fixed(plans), stub, Limits(1))
    assert lucky.points[0].loss < 0
    assert lucky.hypervolume == same.hypervolume


def test_progress_counts_and_never_loses_volume(task: SearchTask, stub: Stub) -> None:
    told: list[Progress] = []
    result = search(task, RandomPlans(), stub, Limits(40), 0, told.append)
    volumes = [progress.hypervolume for progress in told]
    assert [progress.evaluations for progress in told] == list(range(1, 41))
    assert volumes == sorted(volumes)
    assert volumes[-1] == pytest.approx(result.hypervolume)


def test_the_order_in_which_evaluations_come_in_does_not_matter(task: SearchTask) -> None:
    class Backwards(Stub):
        def measure(self, batch: Sequence[Choices]) -> Iterator[tuple[Choices, Evaluation]]:
            yield from reversed(list(super().measure(batch)))

    straight = search(task, RandomPlans(), Stub(task.problem), Limits(40), 1)
    assert search(task, RandomPlans(), Backwards(task.problem), Limits(40), 1).front == straight.front


@pytest.mark.parametrize("objectives", [(), ("loss",), ("latency_s", "loss")])
def test_objectives_are_the_loss_and_a_cost(task: SearchTask, objectives: tuple[str, ...]) -> None:
    with pytest.raises(UsageError, match="expected loss and then one cost or more"):
        replace(task, objectives=objectives)


@pytest.mark.parametrize("name", ["sweep", "ompq", "quadratic"])
def test_solvers_that_sum_refuse_what_is_no_sum(task: SearchTask, stub: Stub, name: str) -> None:
    peak = replace(task, not_summed=frozenset({"peak_memory_bytes"}))
    with pytest.raises(UsageError, match=f"solver {name} adds costs up over layers"):
        search(peak, search_solver(name), stub, Limits(5))


def test_an_unknown_solver_is_named_with_the_nearest() -> None:
    with pytest.raises(UsageError, match="nsga2"):
        search_solver("nsga")
