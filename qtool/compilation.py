"""From a request to a plan in all its forms, measured; nothing is written."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from hwmodels import load_target
from passes.allocation.allocate import Allocate
from passes.api import Aspect, PassContext
from passes.errors import UsageError
from passes.execution.dataset import graph_inputs, open_dataset
from passes.execution.metrics import choose_metric
from passes.ir.onnx_io import read_model
from passes.ir.verify import verify_model
from passes.manager import PassManager
from passes.pipeline import parse, to_text
from qtool.lowering import lower_forms
from qtool.max_drop import cheapest_within_drop
from qtool.prepared import prepare
from qtool.presets import preset
from qtool.proof import Proof, prove
from qtool.sensitivity_quality import sensitivity_quality

if TYPE_CHECKING:
    from collections.abc import Callable

    from passes.allocation.decision import Decision
    from passes.api import Pass
    from passes.instruments import PassRecord
    from passes.ir.mapped import Mapped
    from passes.ir.model import Model
    from qtool.lowering import Lowered
    from qtool.report.sensitivity import SensitivityReport
    from qtool.request import QuantizeRequest


@dataclass(frozen=True)
class Compilation:
    """Everything that one run produced before it is written down.

    Attributes:
        model: graph and plan.
        ctx: with the journal and the time that analyses took.
        records: of the passes that ran.
        lowered: the forms.
        proof: how the forms compare.
        quality: of the sensitivity in use, where one was.
        seconds: wall-clock time by stage.
    """

    model: Model
    ctx: PassContext
    records: tuple[PassRecord, ...]
    lowered: Lowered
    proof: Proof
    quality: SensitivityReport | None
    seconds: dict[str, float]

    @property
    def decision(self) -> Decision | None:
        """The allocation that chose the bits of the plan; ``None`` where nothing was solved.

        ``--max-drop`` solves many and keeps one; passes may have changed bits after it.
        """
        bits = {name: layer.precision for name, layer in self.model.plan.layers.items()}
        pairs = {name: (it.weight_bits, it.act_bits) for name, it in bits.items()}
        return next((it for it in reversed(self.ctx.decisions) if it.pairs == pairs), None)


def compile_request(
    request: QuantizeRequest, tell: Callable[[str, int, int], None], mapped: Mapped | None = None
) -> Compilation:
    """Do everything but write files.

    Args:
        request: what to do.
        tell: called with (stage, done, total) as work proceeds.
        mapped: keeps large constants of the model in files.
    """
    ctx = PassContext(load_target(request.target), seed=request.seed, workers=request.workers, progress=tell)
    ctx.shapes, ctx.segment_bytes = request.shapes, request.segment_bytes
    model = read_model(request.model, mapped)
    verify_model(model)
    _open_data(request, model, ctx)
    clock = _Clock()
    if request.plan is not None:
        prepare(model, request.plan)
    earlier = model.plan.prepared
    passes = parse(request.pipeline) if request.pipeline else preset(request)
    if request.max_drop is None:
        records = PassManager(passes).run(model, ctx)
    else:
        records = cheapest_within_drop(request, passes, model, ctx)
    prepared = ",".join(filter(None, (earlier, prepared_by(passes, records))))
    model.plan = replace(model.plan, prepared=prepared)
    clock.stage("passes")
    quality = _judged(request, records, model, ctx)
    clock.stage("quality")
    tell("lower", 0, 1)
    lowered = lower_forms(model, ctx.target, request.forms)
    clock.stage("lower")
    proof = prove(request, model, ctx, lowered)
    clock.stage("compare")
    return Compilation(model, ctx, records, lowered, proof, quality, clock.seconds)


def _judged(
    request: QuantizeRequest, records: tuple[PassRecord, ...], model: Model, ctx: PassContext
) -> SensitivityReport | None:
    """Judge the sensitivity of the last allocation that had something to solve."""
    steps = [step for record in records for step in parse(record.text)]
    used = [step.sensitivity for step in steps if isinstance(step, Allocate) and step.searches]
    if not used or not request.quality_plans or ctx.calibration is None:
        return None
    return next(iter(sensitivity_quality(used[-1:], request.quality_plans, model, ctx)), None)


def prepared_by(passes: tuple[Pass, ...], records: tuple[PassRecord, ...]) -> str:
    """Return the passes that changed the graph before the plan was made, in text form.

    Those whose results the plan keeps are left out.

    Raises:
        UsageError: a pass changed the graph after one whose constants the plan keeps.
    """
    changed = {record.text for record in records if record.wrote & (Aspect.GRAPH | Aspect.WEIGHTS)}
    steps = [step for step in passes if to_text((step,)) in changed]
    redone = [step for step in steps if not step.keeps_constants]
    if redone != steps[: len(redone)]:
        late, keeper = redone[-1].name, next(step.name for step in steps if step.keeps_constants)
        raise UsageError(f"{late} changes the model after {keeper}, whose result a plan keeps; put it before")
    return to_text(tuple(redone))


def _open_data(request: QuantizeRequest, model: Model, ctx: PassContext) -> None:
    inputs = graph_inputs(model.graph)
    if request.calib is not None:
        ctx.calibration = open_dataset(request.calib, inputs, request.preprocess, request.samples)
    if request.train is not None:
        ctx.training = open_dataset(request.train, inputs, request.preprocess, request.samples)
    if request.eval is not None:
        ctx.evaluation = open_dataset(request.eval, inputs, request.preprocess, request.samples)
        choose_metric(request.metric, ctx.evaluation.labels, request.label_offset)


class _Clock:
    """Wall-clock time since the last stage ended."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = time.perf_counter()

    def stage(self, name: str) -> None:
        now = time.perf_counter()
        self.seconds[name], self._last = now - self._last, now
