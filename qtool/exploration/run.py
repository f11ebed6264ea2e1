"""A search from a request to a result; resumed where an earlier one in the same folder ended."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from hwmodels import load_target
from passes.allocation.allocate import Allocate
from passes.allocation.budget import Budget
from passes.allocation.problem import LOSS
from passes.api import PassContext
from passes.errors import UsageError
from passes.execution.dataset import graph_inputs, open_dataset
from passes.execution.metrics import choose_metric
from passes.ir.onnx_io import read_model
from passes.ir.verify import verify_model
from passes.manager import PassManager
from passes.search.cache import EvaluationCache
from passes.search.dask_runner import Dask
from passes.search.driver import Limits, search
from passes.search.evaluator import Evaluator
from passes.search.model_task import model_task
from passes.search.payload import make_payload
from passes.search.runners import Processes, Serial
from passes.search.solver import search_solver
from passes.transform.assign_scales import AssignScales
from qtool.exploration.beacons import light_beacons, retraining, trainers
from qtool.exploration.kept_beacons import KeptBeacons
from qtool.exploration.request import BEACONS, CACHE
from qtool.presets import preset

if TYPE_CHECKING:
    from collections.abc import Callable

    from passes.execution.metrics import Metric
    from passes.ir.model import Model
    from passes.search.driver import Progress, SearchResult
    from passes.search.payload import Payload
    from passes.search.runners import Runner
    from passes.search.task import SearchTask
    from qtool.exploration.request import SearchRequest


@dataclass(frozen=True)
class Prepared:
    """A model that is ready to be searched.

    Attributes:
        task: what is searched.
        payload: what measuring needs.
        target: name of the machine.
    """

    task: SearchTask
    payload: Payload
    target: str


@dataclass(frozen=True)
class SearchRun:
    """A finished search.

    Attributes:
        task: what was searched.
        result: what was found.
        metric: name of the metric.
        target: name of the machine.
        sha256: of the model's file.
        measured: plans that were run; the others were known from before.
        messages: what people should know, such as plans that could not be measured.
    """

    task: SearchTask
    result: SearchResult
    metric: str
    target: str
    sha256: str
    measured: int
    messages: tuple[str, ...]


def run_search(
    request: SearchRequest, stage: Callable[[str, int, int], None], tell: Callable[[Progress], None]
) -> SearchRun:
    """Search; whatever ends the process, what was measured stays in the folder.

    Args:
        request: what to do.
        stage: called with (stage, done, total) while the model is prepared.
        tell: called after every evaluation.

    Raises:
        InputError: model or data cannot be used.
        InfeasibleError: no plan meets the budgets on costs.
        UsageError: the solver cannot deal with the task, or a scheduler is not there.
    """
    prepared = prepare(request, stage)
    messages: list[str] = []
    request.base.out.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        cache = EvaluationCache(request.base.out / CACHE)
        stack.callback(cache.close)
        messages += [cache.message] if cache.message else []
        runner = _runner(request, prepared.payload)
        stack.callback(runner.close)
        payload, task = prepared.payload, prepared.task
        evaluator = Evaluator(task.problem, runner, cache, payload.digest, messages.append)
        limits = Limits(request.evaluations, request.time_limit_s)
        solver = search_solver(request.solver_name)
        result = search(task, solver, evaluator, limits, request.base.seed, tell)
    return SearchRun(
        task,
        result,
        payload.metric.name,
        prepared.target,
        payload.sha256,
        evaluator.measured,
        tuple(messages),
    )


def prepare(request: SearchRequest, stage: Callable[[str, int, int], None]) -> Prepared:
    """Bring the model into the form that is quantized, and collect what solvers and workers need."""
    base = request.base
    model = read_model(base.model)
    verify_model(model)
    ctx = PassContext(load_target(base.target), shapes=base.shapes, seed=base.seed, progress=stage)
    # Processes share the cores; a thread each leaves the same work to all of them.
    ctx.workers = 1 if request.processes else base.workers
    metric = _open_data(request, model, ctx)
    passes = preset(base)
    place = next(index for index, step in enumerate(passes) if isinstance(step, Allocate))
    allocate = next(step for step in passes if isinstance(step, Allocate))
    scales = next(step for step in passes if isinstance(step, AssignScales))
    PassManager(passes[:place]).run(model, ctx)
    ctx.observes |= allocate.observes | frozenset().union(*(step.observes for step in passes))
    payload = make_payload(model, ctx, metric, scales, request.hopeless)
    task = model_task(model, ctx, allocate, request.objectives, payload.float_value, ctx.evaluation.count)
    drop = () if request.max_drop is None else (Budget(LOSS, request.max_drop),)
    task = replace(task, float_seconds=payload.float_seconds, budgets=(*drop, *task.budgets))
    if request.beacons:
        rest = (*passes[place + 1 :], *trainers(request))
        kept = KeptBeacons(base.out / BEACONS, payload.digest)
        payload = payload.with_beacons(light_beacons(model, ctx, task, rest, request.beacons, kept))
    if (trained := retraining(request, ctx)) is not None:
        trained.step.check(model, ctx)
        payload = payload.with_retraining(trained)
    return Prepared(task, payload, ctx.target.name)


def _open_data(request: SearchRequest, model: Model, ctx: PassContext) -> Metric:
    base, inputs = request.base, graph_inputs(model.graph)
    if base.calib is None or base.eval is None:
        raise UsageError("a search measures plans on held-out data; give --calib and --eval")
    ctx.calibration = open_dataset(base.calib, inputs, base.preprocess, base.samples)
    ctx.evaluation = open_dataset(base.eval, inputs, base.preprocess, base.samples)
    if request.train is not None:
        ctx.training = open_dataset(request.train, inputs, base.preprocess, base.samples)
    return choose_metric(base.metric, ctx.evaluation.labels, base.label_offset)


def _runner(request: SearchRequest, payload: Payload) -> Runner:
    if request.cluster:
        return Dask(payload, request.cluster)
    return Processes(payload, request.processes) if request.processes else Serial(payload)
