"""Fine-tuning: the model gets better on samples never seen, the same every time, interrupted or not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hwmodels import Precision
from hwmodels.registry import load_target
from passes.api import Aspect, PassContext
from passes.errors import DataError, PreconditionError, UsageError
from passes.execution.dataset import Dataset, InputSpec
from passes.execution.session import Session
from passes.execution.simulator import Simulator
from passes.execution.sources import ArraySource
from passes.ir.model import Model
from passes.ir.onnx_io import model_from_text, to_proto
from passes.ir.setup import quantizer_setup
from passes.ir.specs import plan_of_bits
from passes.manager import PassManager
from passes.pipeline import parse
from passes.transform.finetune import Finetune

torch = pytest.importorskip("torch", reason="needs the extra train")
from passes.training.lesson import Lesson  # noqa: E402
from passes.training.simulation import Simulation  # noqa: E402
from passes.training.training_data import TrainingData  # noqa: E402

SAMPLES = 256
QUICK = Finetune(steps=60, batch=16, rate=0.02, step_rate=1e-2, bias_rate=1e-2, held=32, checks=6)


def context(model: Model, count: int = SAMPLES, start: int = 0, labels: bool = False) -> PassContext:
    """Random pictures; labels are what the float model makes of them."""
    data = np.random.default_rng([2, start]).standard_normal((count, 2, 5, 5)).astype(np.float32)
    inputs = (InputSpec("x", (None, 2, 5, 5), np.dtype(np.float32)),)
    (results,) = Session(to_proto(model), threads=1).run({"x": data})
    classes = results.argmax(axis=1) if labels else None
    dataset = Dataset(ArraySource(("x",), count, classes, {"x": data}), inputs, ("x",), None, count, "test")
    return PassContext(load_target("generic"), training=dataset, calibration=dataset, workers=1)


def planned(model: Model, weight_bits: int = 2) -> Model:
    setup = quantizer_setup(model.graph)
    model.plan = plan_of_bits(setup, {layer.name: Precision(weight_bits, 4) for layer in setup.layers})
    # Searched clips would leave little to learn.
    PassManager(parse("assign-scales{clip=none}")).run(model, context(model))
    return model


def share_alike(model: Model, ctx: PassContext) -> float:
    """Share of samples on which the lowered model names the class of the float model."""
    (wanted,) = Session(to_proto(model), threads=1).run_all(ctx.training.batches(16))
    (found,) = Simulator(model, quantizer_setup(model.graph, ctx.target), ctx.training, 1).run(model.plan)
    return float((wanted.argmax(axis=1) == found.argmax(axis=1)).mean())


@pytest.mark.parametrize("labels", [False, True])
def test_the_model_gets_better_on_samples_never_seen(residual: Model, labels: bool) -> None:
    model = planned(residual)
    unseen = context(model, 400, start=1)
    before = share_alike(model, unseen)
    result = QUICK.run(model, context(model, labels=labels))
    assert result.wrote is Aspect.PLAN
    assert result.facts["after"] < 0.9 * result.facts["before"]
    assert 1 - share_alike(model, unseen) < 0.7 * (1 - before)


def test_labels_alone_teach_without_the_float_model(residual: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    model = planned(residual)
    ctx = context(model, labels=True)
    monkeypatch.setattr(Lesson, "_wanted", lambda self, feeds: None)
    facts = replace(QUICK, labels=1.0).run(model, ctx).facts
    assert facts["after"] < facts["before"]


def test_the_lowered_model_computes_what_was_trained(residual: Model) -> None:
    model = planned(residual)
    ctx = context(model)
    QUICK.run(model, ctx)
    simulation = Simulation.of(model, ctx.target)
    feeds = next(ctx.training.batches(64))
    with torch.no_grad():
        x = simulation.steps["x"](torch.from_numpy(feeds["x"]))
        (trained,) = simulation.bridge.run({"x": x, **simulation.constants}, (), simulation.steps).values()
    (lowered,) = Simulator(model, quantizer_setup(model.graph, ctx.target), ctx.training, 1).run(model.plan)
    np.testing.assert_allclose(trained.numpy(), lowered[:64], rtol=1e-4, atol=1e-4)


def test_the_same_seed_gives_the_same_plan(residual: Model) -> None:
    model = planned(residual)
    start, plans = model.plan, []
    for seed in (0, 0, 1):
        model.plan, ctx = start, context(model)
        ctx.seed = seed
        replace(QUICK, steps=15, checks=3).run(model, ctx)
        plans.append(model.plan)
    assert plans[0] == plans[1]
    assert plans[0] != plans[2]


class Killed(BaseException):
    """What ends a process in the middle."""


def test_an_interrupted_run_ends_as_if_it_had_not_been(residual: Model, tmp_path: Path) -> None:
    model = planned(residual)
    start, step = model.plan, replace(QUICK, steps=20, checks=4)
    step.run(model, context(model))
    wanted, model.plan, ctx = model.plan, start, context(model)

    def kill(stage: str, done: int, total: int) -> None:
        if done == 13:
            raise Killed

    ctx.progress = kill
    step = replace(step, checkpoint=str(tmp_path / "run" / "state"))
    with pytest.raises(Killed):
        step.run(model, ctx)
    assert model.plan == start
    again = context(model)
    step.run(model, again)
    assert model.plan == wanted
    assert again.journal[0].message.startswith("the run goes on from")
    assert again.journal[0].subject == "step 10"


def test_a_checkpoint_of_another_run_is_refused(residual: Model, tmp_path: Path) -> None:
    model = planned(residual)
    start, step = model.plan, replace(QUICK, steps=2, checks=1, checkpoint=str(tmp_path / "state"))
    step.run(model, context(model))
    model.plan = start
    with pytest.raises(DataError, match="belongs to a run with another model, plan, data or options"):
        replace(step, rate=0.03).run(model, context(model))
    Path(step.checkpoint).write_bytes(Path(step.checkpoint).read_bytes()[:-9])
    with pytest.raises(DataError, match="the checkpoint cannot be read"):
        step.run(model, context(model))


def test_a_loss_that_is_not_finite_ends_it_and_names_the_layer(
    residual: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = planned(residual)
    ctx, step = context(model), replace(QUICK, checkpoint=str(tmp_path / "state"))
    made: list[Simulation] = []
    original = Simulation.of
    monkeypatch.setattr(Simulation, "of", lambda *args: made.append(original(*args)) or made[-1])

    def poison(stage: str, done: int, total: int) -> None:
        if done == 12:
            made[0].steps["r"] = lambda x, stay=None: x * float("nan")

    ctx.progress = poison
    result = step.run(model, ctx)
    (entry,) = (entry for entry in ctx.journal if entry.subject == "loss")
    assert "the loss is not finite in step 13: the result of layer first is NaN or infinite" in entry.message
    assert "the checkpoint after step 10" in entry.message
    assert "stopped" in result.summary
    assert all(np.isfinite(values).all() for values in model.plan.biases.values())


def test_it_stops_when_nothing_gets_better(residual: Model) -> None:
    model = planned(residual)
    ctx, before = context(model), model.plan
    result = replace(QUICK, rate=0.0, step_rate=0.0, bias_rate=0.0, patience=2).run(model, ctx)
    assert result.wrote is Aspect.NONE
    assert model.plan is before
    assert "stopped: no better for 2 checks" in result.summary
    assert [entry.subject for entry in ctx.journal] == ["step 10", "step 20"]


def test_every_sample_is_learned_from_before_any_comes_again(residual: Model) -> None:
    ctx = context(planned(residual), 100)
    data = TrainingData.of(ctx.training, replace(QUICK, batch=10, held=10), seed=3)
    seen = np.concatenate([data.chosen(step) for step in range(9)])
    assert sorted([*seen, *data.held]) == list(range(100))
    assert sorted(np.concatenate([data.chosen(step) for step in range(9, 18)])) == sorted(seen)
    assert data.chosen(9).tolist() != data.chosen(0).tolist()


@pytest.mark.parametrize("labels", [1.0, 0.3])
def test_labels_that_are_missing_or_make_no_sense_are_refused(residual: Model, labels: float) -> None:
    model = planned(residual)
    with pytest.raises(UsageError, match="test has no labels"):
        replace(QUICK, labels=labels).run(model, context(model))
    with pytest.raises(DataError, match="expected labels from 0 to 2, found"):
        replace(QUICK, labels=labels, label_offset=3).run(model, context(model, labels=True))


def test_labels_need_classes() -> None:
    model = model_from_text("""<ir_version: 8, opset_import: ["" : 13]>
        net (float[N,2,5,5] x) => (float[N,2,5,5] y) <float[2,2,1,1] w = {1, 2.3, 3, 4.4}>
        { [conv] y = Conv(x, w) }""")
    ctx = context(model)
    ctx.training = replace(ctx.training, source=replace(ctx.training.source, labels=np.zeros(SAMPLES, int)))
    planned(model)
    with pytest.raises(UsageError, match="labels need one result of shape"):
        replace(QUICK, labels=0.5).run(model, ctx)
    facts = replace(QUICK, steps=30).run(model, ctx).facts
    assert facts["after"] <= facts["before"]


def test_what_is_missing_is_refused(residual: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    model = planned(residual)
    empty: dict[str, Any] = {"training": None, "calibration": None}
    with pytest.raises(UsageError, match="give --train or --calib"):
        QUICK.check(model, replace(context(model), **empty))
    monkeypatch.setattr("passes.training.course.find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"install the extra: pip install 'qtool\[train\]'"):
        QUICK.check(model, context(model))
    model.plan = replace(model.plan, tensors={"x": replace(model.plan.tensors["x"], params=None)})
    with pytest.raises(PreconditionError, match="run assign-scales first"):
        QUICK.check(model, context(model))
