"""Plans of a network whose labels are what it says in floating point."""

from __future__ import annotations

import os
import pickle
import signal
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from hwmodels import Precision, load_target
from passes.allocation.allocate import Allocate
from passes.api import PassContext
from passes.errors import InfeasibleError, LoweringError, UsageError
from passes.execution.dataset import graph_inputs, open_dataset
from passes.execution.metrics import Metric
from passes.execution.simulator import Simulator
from passes.ir.model import Model
from passes.ir.onnx_io import read_model
from passes.search.cache import EvaluationCache
from passes.search.dask_runner import Dask
from passes.search.driver import Limits, search
from passes.search.evaluator import Evaluator
from passes.search.measurer import Measurer, upper_bound
from passes.search.model_task import model_task
from passes.search.payload import Payload, make_payload
from passes.search.point import Evaluation
from passes.search.retraining import Retraining
from passes.search.runners import Processes, Serial
from passes.search.solver import search_solver
from passes.search.task import SearchTask
from passes.transform.assign_scales import AssignScales
from passes.transform.finetune import Finetune

SAMPLES = 256
WIDE = {"first": Precision(8, 8), "second": Precision(8, 8)}
NARROW = {"first": Precision(2, 2), "second": Precision(2, 2)}


@dataclass
class Case:
    """A model, its context and the payload of its measurements."""

    model: Model
    ctx: PassContext
    payload: Payload

    def task(self, *objectives: str, **options: Any) -> SearchTask:
        allocate = Allocate(bits=(2, 4, 8), **options)
        return model_task(self.model, self.ctx, allocate, objectives, self.payload.float_value, SAMPLES)


@pytest.fixture
def case(tmp_path: Path) -> Case:
    """Two random layers and their payload."""
    rng = np.random.default_rng(0)
    shapes = {"w1": (8, 16), "w2": (16, 4)}
    weights = {name: rng.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}
    nodes = [
        helper.make_node("MatMul", ["x", "w1"], ["h"], name="first"),
        helper.make_node("Relu", ["h"], ["r"], name="relu"),
        helper.make_node("MatMul", ["r", "w2"], ["y"], name="second"),
    ]
    values = [helper.make_tensor_value_info(name, 1, ["N", size]) for name, size in (("x", 8), ("y", 4))]
    constants = [numpy_helper.from_array(array, name) for name, array in weights.items()]
    graph = helper.make_graph(nodes, "net", values[:1], values[1:], constants)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(made, tmp_path / "net.onnx")
    x = rng.standard_normal((SAMPLES, 8)).astype(np.float32)
    labels = (np.maximum(x @ weights["w1"], 0) @ weights["w2"]).argmax(1)
    np.savez(tmp_path / "data.npz", x=x, labels=labels)
    model = read_model(tmp_path / "net.onnx")
    data = open_dataset(str(tmp_path / "data.npz"), graph_inputs(model.graph))
    ctx = PassContext(load_target("bitfusion"), calibration=data, evaluation=data, workers=1)
    ctx.observes = Allocate(max_size="1x").observes
    return Case(model, ctx, make_payload(model, ctx, Metric("top1"), AssignScales()))


def constant(outputs: Any, reference: Any, labels: Any) -> float:
    del outputs, reference, labels
    return float("nan")


def raising(outputs: Any, reference: Any, labels: Any) -> float:
    raise ValueError("no such class")


def test_eight_bits_lose_nothing_and_two_bits_much(case: Case) -> None:
    measurer = Measurer(case.payload)
    assert case.payload.float_value == 1.0
    assert measurer.measure(WIDE).value > 0.97
    assert measurer.measure(NARROW).value < 0.9
    assert measurer.measure(WIDE).samples == SAMPLES


def test_a_payload_that_was_sent_measures_the_same(case: Case) -> None:
    sent = pickle.loads(pickle.dumps(case.payload))
    assert Measurer(sent).measure(NARROW) == Measurer(case.payload).measure(NARROW)


def test_a_plan_is_fine_tuned_before_it_is_measured(case: Case) -> None:
    pytest.importorskip("torch", reason="needs the extra train")
    step = Finetune(steps=60, batch=32, rate=0.02, held=64)
    trained = case.payload.with_retraining(Retraining(step, case.ctx.calibration, seed=0))
    other = case.payload.with_retraining(Retraining(step, case.ctx.calibration, seed=1))
    assert len({it.digest for it in (case.payload, trained, other)}) == 3
    narrow = {"first": Precision(2, 4), "second": Precision(2, 4)}
    found = Measurer(trained).measure(narrow)
    assert found.value > Measurer(case.payload).measure(narrow).value + 0.04
    assert Measurer(pickle.loads(pickle.dumps(trained))).measure(narrow) == found


def test_a_hopeless_plan_is_given_up_at_the_first_look(case: Case) -> None:
    measurer = Measurer(replace(case.payload, hopeless=0.02))
    assert measurer.measure(NARROW).samples < SAMPLES
    assert measurer.measure(WIDE).samples == SAMPLES


@pytest.mark.parametrize(
    ("function", "reason"), [(constant, "is nan"), (raising, "raised ValueError: no such class")]
)
def test_a_metric_that_fails_marks_the_plan(
    case: Case, function: Callable[..., float], reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Metric, "__call__", lambda _self, *arguments: function(*arguments))
    assert reason in Measurer(case.payload).measure(WIDE).failure


def test_a_plan_that_cannot_be_lowered_is_marked(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object) -> None:
        raise LoweringError("no form for it")

    monkeypatch.setattr(Simulator, "stream", refuse)
    assert "cannot be run: no form for it" in Measurer(case.payload).measure(WIDE).failure


def test_the_digest_tells_what_a_measurement_depends_on(case: Case) -> None:
    def digest(metric: Metric = Metric("top1"), hopeless: float = 0.0) -> str:  # noqa: B008
        return make_payload(case.model, case.ctx, metric, AssignScales(), hopeless).digest

    assert digest() == case.payload.digest
    assert len({digest(), digest(metric=Metric("top5")), digest(hopeless=0.1)}) == 3


def test_the_bound_of_a_share_is_above_it_and_shrinks() -> None:
    assert upper_bound(0.5, 100, 1.96) == pytest.approx(0.596, abs=1e-3)
    assert upper_bound(0.0, 100) > 0
    assert upper_bound(0.5, 1000) < upper_bound(0.5, 100) < upper_bound(0.5, 10) < 1


def test_nothing_is_measured_twice(case: Case, tmp_path: Path) -> None:
    task = case.task("loss", "size")
    found = []
    for _ in range(2):
        with closing(EvaluationCache(tmp_path / "cache.sqlite")) as cache:
            evaluator = Evaluator(task.problem, Serial(case.payload), cache, case.payload.digest)
            found.append(search(task, search_solver("random"), evaluator, Limits(10)))
            measured = evaluator.measured
    assert found[0].points == found[1].points
    assert measured == 0


def test_peak_memory_is_an_objective_though_it_is_no_sum(case: Case, tmp_path: Path) -> None:
    task = case.task("memory")
    assert task.objectives == ("loss", "peak_memory_bytes")
    wide, narrow = (task.costs(task.space.uniform(bits))["peak_memory_bytes"] for bits in (8, 2))
    assert 0 < narrow < wide
    with closing(EvaluationCache(tmp_path / "cache.sqlite")) as cache:
        evaluator = Evaluator(task.problem, Serial(case.payload), cache, case.payload.digest)
        assert search(task, search_solver("annealing"), evaluator, Limits(9)).front
        with pytest.raises(UsageError, match="no such sum"):
            search(task, search_solver("sweep"), evaluator, Limits(2))


@pytest.mark.parametrize("name", ["sweep", "random"])
def test_a_budget_on_peak_memory_holds_on_the_front(case: Case, tmp_path: Path, name: str) -> None:
    task = case.task("size", max_memory="0.8x")
    plans = [task.space.decode(genome) for genome in product(*(range(size) for size in task.space.sizes))]
    points = {choices: task.point(choices, Evaluation(1.0, SAMPLES)) for choices in plans}
    within = [point for point in points.values() if point.excess == 0]
    assert 0 < len(within) < len(plans)
    with closing(EvaluationCache(tmp_path / "cache.sqlite")) as cache:
        evaluator = Evaluator(task.problem, Serial(case.payload), cache, case.payload.digest)
        result = search(task, search_solver(name), evaluator, Limits(5))
    limit = task.budgets[0].limit
    assert result.front
    assert all(point.get("peak_memory_bytes") <= limit for point in result.front)
    if name == "sweep":
        least = min(point.estimate for point in within)
        assert result.points[0].estimate == pytest.approx(least)
        assert all(point.excess == 0 for point in result.points)


def test_a_budget_on_peak_memory_is_refused_where_it_cannot_be_kept(case: Case) -> None:
    task = case.task("size", max_memory="0.8x")
    with pytest.raises(UsageError, match=r"solver haq adds costs .* peak_memory_bytes .* take sweep, nsga2"):
        next(search_solver("haq").propose(task, np.random.default_rng(0)))


@pytest.mark.parametrize("options", [{"max_memory": "1B"}, {"max_size": "0.5x", "pin": ("*=w8a8",)}])
def test_budgets_that_no_plan_meets_end_before_anything_is_measured(
    case: Case, options: dict[str, Any]
) -> None:
    with pytest.raises(InfeasibleError, match="the least that is feasible is"):
        case.task("size", **options)


def test_solvers_that_ask_about_the_model_get_answers(case: Case, tmp_path: Path) -> None:
    task = case.task("loss", "size")
    with closing(EvaluationCache(tmp_path / "cache.sqlite")) as cache:
        evaluator = Evaluator(task.problem, Serial(case.payload), cache, case.payload.digest)
        for name in ("ompq", "quadratic"):
            assert search(task, search_solver(name), evaluator, Limits(4)).front
    assert task.knows("haq").features().shape == (2, 8)


def test_processes_give_what_this_process_gives_and_survive_their_death(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = [WIDE, NARROW, {"first": Precision(4, 8), "second": Precision(8, 4)}]
    expected = dict(Serial(case.payload).run(jobs))
    with closing(Processes(case.payload, 2)) as processes:
        assert dict(processes.run(jobs)) == expected
        (victim, *_) = processes._pool._processes  # type: ignore[union-attr]
        os.kill(victim, 9)
        time.sleep(0.2)
        assert dict(processes.run(jobs)) == expected


def test_a_plan_that_kills_its_worker_every_time_is_marked(case: Case) -> None:
    payload = replace(case.payload, metric=Metric("made_problem:deadly"))
    jobs = [WIDE, NARROW]
    with closing(Processes(payload, 1)) as processes:
        found = dict(processes.run(jobs))
    assert found[0].value > 0.97
    assert "died" in found[1].failure


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_a_cluster_gives_what_this_process_gives_and_survives_a_lost_worker(case: Case) -> None:
    distributed = pytest.importorskip("distributed")
    jobs = [WIDE, NARROW, {"first": Precision(4, 8), "second": Precision(8, 4)}]
    expected = dict(Serial(case.payload).run(jobs))
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=None, silence_logs=50
    ) as cluster:
        address = cluster.scheduler_address.removeprefix("tcp://")
        with closing(Dask(case.payload, address)) as dask:
            assert dict(dask.run(jobs)) == expected
            os.kill(next(iter(cluster.workers.values())).pid, signal.SIGKILL)
            assert dict(dask.run(jobs)) == expected


def test_a_pool_needs_a_process(case: Case) -> None:
    with pytest.raises(UsageError, match="one process or more"):
        Processes(case.payload, 0)
