"""Bits learned by gates: budgets are met, layers that matter keep their bits, runs can be resumed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hwmodels import Precision
from hwmodels.registry import load_target
from passes.allocation.ddq import Ddq
from passes.analysis.cost import price_plan
from passes.api import Aspect, PassContext
from passes.errors import DataError, InfeasibleError, UsageError
from passes.execution.dataset import Dataset, InputSpec
from passes.execution.simulator import Simulator
from passes.execution.sources import ArraySource
from passes.instruments import PassRecord
from passes.ir.model import Model
from passes.ir.setup import quantizer_setup
from passes.ir.specs import plan_of_bits
from passes.manager import PassManager
from passes.pipeline import parse
from passes.transform.finetune import Finetune

torch = pytest.importorskip("torch", reason="needs the extra train")
from passes.training.course import Levels  # noqa: E402
from passes.training.simulation import Simulation  # noqa: E402

QUICK = Ddq(steps=30, batch=16, held=32, gate_rate=0.2, max_size="0.5x")


def context(target: str = "generic") -> PassContext:
    data = np.random.default_rng(2).standard_normal((256, 2, 5, 5)).astype(np.float32)
    inputs = (InputSpec("x", (None, 2, 5, 5), np.dtype(np.float32)),)
    dataset = Dataset(ArraySource(("x",), 256, None, {"x": data}), inputs, ("x",), None, 256, "test")
    return PassContext(load_target(target), calibration=dataset, workers=1)


def planned(model: Model, target: str = "generic", weight_bits: int = 8) -> Model:
    setup = quantizer_setup(model.graph, load_target(target))
    model.plan = plan_of_bits(setup, {layer.name: Precision(weight_bits, 8) for layer in setup.layers})
    PassManager(parse("assign-scales")).run(model, context(target))
    return model


def learned(step: Ddq, model: Model, ctx: PassContext) -> PassRecord:
    """Run through the manager, which collects the statistics that the pass asks for."""
    return PassManager((step,)).run(model, ctx)[0]


def cost(model: Model, ctx: PassContext, metric: str) -> float:
    bits = {name: layer.precision for name, layer in model.plan.layers.items()}
    return float(getattr(price_plan(model, ctx, bits)[0], metric))


@pytest.mark.parametrize(
    ("target", "budgets"),
    [
        ("generic", {"max_size": "0.5x", "max_bops": "0.3x"}),
        ("bitfusion", {"max_size": "", "max_energy": "0.6x"}),
    ],
)
def test_budgets_on_any_metric_are_met(residual: Model, target: str, budgets: dict[str, Any]) -> None:
    model, ctx = planned(residual, target), context(target)
    words = {"max_size": "weight_bytes", "max_bops": "bops", "max_energy": "energy_j"}
    before = {name: cost(model, ctx, words[name]) for name in budgets}
    result = learned(replace(QUICK, **budgets), model, ctx)
    assert result.wrote is Aspect.PLAN
    for name, text in budgets.items():
        share = float(text[:-1]) if text else 1.0
        assert cost(model, ctx, words[name]) <= share * before[name]
    for layer in quantizer_setup(model.graph, ctx.target).layers:
        precision = model.plan.layers[layer.name].precision
        assert model.plan.tensors[layer.weight_name].spec.format.bits == precision.weight_bits
        assert model.plan.tensors[layer.act.name].spec.format.bits == precision.act_bits
        if target == "bitfusion":
            assert {precision.weight_bits, precision.act_bits} <= {2, 4, 8}
    (found,) = Simulator(model, quantizer_setup(model.graph, ctx.target), ctx.calibration, 1).run(model.plan)
    assert np.isfinite(found).all()


def test_layers_that_matter_keep_their_bits(residual: Model) -> None:
    """One layer adds next to nothing to the result, nor does the one before it; they pay for the budget."""
    weight = residual.graph.tensors()["w2"]
    weight.values = weight.values * np.float32(0.01)
    bias = residual.graph.tensors()["b2"]
    bias.values = bias.values * np.float32(0.01)
    model, ctx = planned(residual), context()
    learned(replace(QUICK, steps=160, gate_rate=0.1), model, ctx)
    bits = {name: layer.precision.weight_bits for name, layer in model.plan.layers.items()}
    assert max(bits["first"], bits["second"]) <= 3
    assert min(bits["stem"], bits["head"]) >= 6


def test_room_in_the_budget_is_used(residual: Model) -> None:
    model, ctx = planned(residual), context()
    learned(replace(QUICK, power=200.0, gate_rate=0.5, max_size="0.9x"), model, ctx)
    assert cost(model, ctx, "weight_bytes") > 0.8 * 256 * 1.0


def test_training_makes_up_for_some_of_it(residual: Model) -> None:
    model = planned(residual)
    start, losses = model.plan, []
    for rate in (0.0, 0.01):
        model.plan, ctx = start, context()
        step = replace(QUICK, steps=60, rate=rate, step_rate=rate, gate_rate=0.0, search=0.0, max_size="0.4x")
        losses.append(float(learned(step, model, ctx).facts["loss"]))
    assert losses[1] < 0.8 * losses[0]


def test_a_run_that_is_interrupted_ends_in_the_same_plan(residual: Model, tmp_path: Path) -> None:
    model = planned(residual)
    start, step = model.plan, replace(QUICK, checks=5)
    learned(step, model, context())
    whole = model.plan
    kept = replace(step, checkpoint=str(tmp_path / "ddq.checkpoint"))
    for stop in (12, 24):
        ctx = context()

        def interrupt(stage: str, done: int, total: int, last: int = stop) -> None:
            if stage == "ddq" and done > last:
                raise KeyboardInterrupt

        model.plan, ctx.progress = start, interrupt
        with pytest.raises(KeyboardInterrupt):
            learned(kept, model, ctx)
    ctx = context()
    learned(kept, model, ctx)
    assert "the run goes on from" in ctx.journal[0].message
    assert model.plan == whole
    model.plan = start
    with pytest.raises(DataError, match="belongs to a run with another"):
        learned(replace(kept, rate=0.123), model, context())


def test_a_loss_that_is_not_finite_leaves_the_plan(residual: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    model, ctx = planned(residual), context()
    made: list[Simulation] = []
    original = Simulation.of
    monkeypatch.setattr(Simulation, "of", lambda *args: made.append(original(*args)) or made[-1])

    def poison(stage: str, done: int, total: int) -> None:
        if done == 12:
            made[0].steps["r"] = lambda x, stay=None: x * float("nan")

    before, ctx.progress = model.plan, poison
    result = learned(QUICK, model, ctx)
    assert result.wrote is Aspect.NONE
    assert model.plan is before
    assert "not finite in step 13: the result of layer first is NaN or infinite" in result.summary
    assert ctx.journal[-1].subject == "loss"


@pytest.mark.parametrize(
    ("step", "message"),
    [
        (replace(QUICK, max_size=""), "without a budget all bits would stay"),
        (replace(QUICK, search=1.5), "search must be a share from 0 to 1"),
        (replace(QUICK, gate_rate=-1.0), "gate-rate must be at least 0"),
    ],
)
def test_options_that_make_no_sense_are_refused(residual: Model, step: Ddq, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        step.check(planned(residual), context())


def test_calibration_data_are_needed(residual: Model) -> None:
    model, ctx = planned(residual), context()
    ctx.training, ctx.calibration = ctx.calibration, None
    with pytest.raises(UsageError, match="needs calibration data"):
        QUICK.check(model, ctx)


def test_a_budget_below_the_least_bits_is_refused(residual: Model) -> None:
    with pytest.raises(InfeasibleError, match="with the least bits everywhere"):
        learned(replace(QUICK, max_size="0.1x"), planned(residual), context())


def free(model: Model, ctx: PassContext, **options: object) -> None:
    learned(replace(QUICK, levels=Levels.FREE, **options), model, ctx)  # type: ignore[arg-type]


@pytest.mark.parametrize(("target", "most"), [("generic", 8), ("bitfusion", 8), ("generic", 4)])
def test_budgets_are_met_by_indices(residual: Model, target: str, most: int) -> None:
    model, ctx = planned(residual, target, most), context(target)
    whole = 72 + 2 * 144 + 12
    free(model, ctx, max_size="0.5x")
    bits = {name: layer.precision for name, layer in model.plan.layers.items()}
    assert {pair.weight_bits for pair in bits.values()} == {8}
    total, layers = price_plan(model, ctx, bits, points=True)
    assert total.weight_bytes is not None
    assert total.weight_bytes <= 0.5 * whole
    for layer in quantizer_setup(model.graph, ctx.target).layers:
        quant = model.plan.tensors[layer.weight_name]
        stored = -(-layer.weight_values().size * quant.stored_bits // 8) + len(quant.levels or ())
        assert layers[layer.name].weight_bytes == stored
    (found,) = Simulator(model, quantizer_setup(model.graph, ctx.target), ctx.calibration, 1).run(model.plan)
    assert np.isfinite(found).all()


def test_products_of_levels_are_those_of_bytes(residual: Model) -> None:
    """A budget that uniform integers meet by their weights is one that tables meet by activations alone."""
    model, ctx = planned(residual), context()
    free(model, ctx, max_size="", max_bops="0.5x")
    bits = {name: layer.precision for name, layer in model.plan.layers.items()}
    eight = price_plan(model, ctx, {name: replace(it, act_bits=8) for name, it in bits.items()})[0]
    assert price_plan(model, ctx, bits)[0].bops <= 0.5 * float(eight.bops or 0.0)
    assert min(pair.act_bits for pair in bits.values()) <= 4


def test_fine_tuning_and_gptq_keep_tables(residual: Model) -> None:
    model, ctx = planned(residual), context()
    free(model, ctx, max_size="0.4x")
    tables = {name: len(it.levels) for name, it in model.plan.tensors.items() if it.levels is not None}
    assert tables
    PassManager(parse("assign-scales,gptq{max-bits=8},bias-correction")).run(model, ctx)
    rounded = model.plan
    assert {name: len(rounded.tensors[name].levels or ()) for name in tables} == tables
    tune = Finetune(steps=40, batch=16, rate=0.02, step_rate=1e-2, bias_rate=1e-2, held=32, checks=4)
    result = tune.run(model, ctx)
    assert result.facts["after"] < 0.97 * float(result.facts["before"])
    assert {name: len(model.plan.tensors[name].levels or ()) for name in tables} == tables
    assert any(model.plan.tensors[name].levels != rounded.tensors[name].levels for name in tables)


@pytest.mark.parametrize("text", ["reconstruct{iterations=2}", "distill{iterations=2 max-bits=8}"])
def test_what_rounds_by_single_codes_leaves_them_alone(residual: Model, text: str) -> None:
    model, ctx = planned(residual), context()
    PassManager(parse("allocate{uniform=w3a8},assign-scales,fit-levels")).run(model, ctx)
    before = {name: it for name, it in model.plan.tensors.items() if it.levels is not None}
    assert len(before) == len(quantizer_setup(model.graph, load_target("generic")).layers)
    PassManager(parse(text)).run(model, ctx)
    assert {name: model.plan.tensors[name] for name in before} == before
