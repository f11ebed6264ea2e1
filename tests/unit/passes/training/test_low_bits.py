"""Weights that lose low bits: budgets are met, layers that matter keep theirs, distances are paid for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hwmodels import Precision
from hwmodels.registry import load_target
from passes.allocation.msq import Msq
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

torch = pytest.importorskip("torch", reason="needs the extra train")
from passes.training.gated import gated  # noqa: E402
from passes.training.lesson import Lesson  # noqa: E402
from passes.training.low_bits import LowBits  # noqa: E402
from passes.training.simulation import Simulation  # noqa: E402
from passes.training.training_data import TrainingData  # noqa: E402

QUICK = Msq(steps=40, batch=16, held=32, rounds=4, max_size="0.5x")


def context() -> PassContext:
    data = np.random.default_rng(2).standard_normal((256, 2, 5, 5)).astype(np.float32)
    inputs = (InputSpec("x", (None, 2, 5, 5), np.dtype(np.float32)),)
    dataset = Dataset(ArraySource(("x",), 256, None, {"x": data}), inputs, ("x",), None, 256, "test")
    return PassContext(load_target("generic"), calibration=dataset, workers=1)


def planned(model: Model) -> Model:
    setup = quantizer_setup(model.graph, load_target("generic"))
    model.plan = plan_of_bits(setup, {layer.name: Precision(8, 8) for layer in setup.layers})
    PassManager(parse("assign-scales")).run(model, context())
    return model


def learned(step: Msq, model: Model, ctx: PassContext) -> PassRecord:
    """Run through the manager, which collects the statistics that the pass asks for."""
    return PassManager((step,)).run(model, ctx)[0]


def test_the_budget_is_met_step_by_step_by_weights_alone(residual: Model) -> None:
    model, ctx = planned(residual), context()
    result = learned(QUICK, model, ctx)
    assert result.wrote is Aspect.PLAN
    bits = {name: layer.precision for name, layer in model.plan.layers.items()}
    # 372 weights: 8 bits are a byte each.
    assert 0.4 * 372 < float(price_plan(model, ctx, bits)[0].weight_bytes or 0.0) <= 0.5 * 372
    assert {it.act_bits for it in bits.values()} == {8}
    for layer in quantizer_setup(model.graph, ctx.target).layers:
        assert model.plan.tensors[layer.weight_name].spec.format.bits == bits[layer.name].weight_bits
    (found,) = Simulator(model, quantizer_setup(model.graph, ctx.target), ctx.calibration, 1).run(model.plan)
    assert np.isfinite(found).all()
    told = [float(entry.message.split()[0]) for entry in ctx.journal if entry.source == "msq"]
    assert told == sorted(told, reverse=True)
    assert told[0] > told[-1]


def test_layers_that_matter_keep_their_bits(residual: Model) -> None:
    """One layer adds next to nothing to the result, nor does the one before it; they pay for the budget."""
    for name in ("w2", "b2"):
        tensor = residual.graph.tensors()[name]
        tensor.values = tensor.values * np.float32(0.01)
    model = planned(residual)
    learned(replace(QUICK, max_size="0.4x"), model, context())
    bits = {name: layer.precision.weight_bits for name, layer in model.plan.layers.items()}
    assert bits["first"] == bits["second"] == 2
    assert min(bits["stem"], bits["head"]) >= 6


def test_weights_pay_for_their_distance_from_the_levels_of_a_bit_less(residual: Model) -> None:
    """With the pull, more weights lie near levels of fewer bits; without, as many as chance has it."""
    model, ctx = planned(residual), context()
    distances = []
    for strength in (0.0, 50.0):
        step = replace(QUICK, steps=60, rounds=1, search=1.0, rate=0.02, strength=strength, labels=0.0)
        lesson = Lesson(Simulation.of(model, ctx.target), TrainingData.of(ctx.calibration, step, 0))
        PassManager(parse("assign-scales")).run(model, ctx)
        work = LowBits(model, ctx, lesson, step, ())
        for at in range(50):
            work._learn(at, pull=True)
        errors = [it.error(len(it.gates.widths) - 2).abs().mean() for it in work._gated.weights.values()]
        distances.append(float(torch.stack(errors).mean()))
    assert distances[1] < 0.8 * distances[0]


def test_an_error_counts_in_steps_of_the_widest(residual: Model) -> None:
    model, ctx = planned(residual), context()
    PassManager(parse("assign-scales")).run(model, ctx)
    (first, *_) = gated(model, ctx, Simulation.of(model, ctx.target), acts=False).weights.values()
    found = [float(first.error(place).abs().max()) for place in range(len(first.gates.widths))]
    assert found[-1] <= 0.25
    assert found == sorted(found, reverse=True)


def test_a_run_that_is_interrupted_ends_in_the_same_plan(residual: Model, tmp_path: Path) -> None:
    model = planned(residual)
    start = model.plan
    learned(QUICK, model, context())
    whole = model.plan
    kept = replace(QUICK, checkpoint=str(tmp_path / "msq.checkpoint"))
    for stop in (14, 33):
        ctx = context()

        def interrupt(stage: str, done: int, total: int, last: int = stop) -> None:
            if stage == "msq" and done > last:
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


@pytest.mark.parametrize(
    ("step", "message"),
    [
        (replace(QUICK, max_size=""), "msq: without a budget all bits would stay"),
        (replace(QUICK, search=1.5), "search must be a share from 0 to 1"),
        (replace(QUICK, rounds=41), "rounds must be at most steps"),
        (replace(QUICK, strength=-1.0), "strength must be at least 0"),
    ],
)
def test_options_that_make_no_sense_are_refused(residual: Model, step: Msq, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        step.check(planned(residual), context())


def test_a_plan_without_bits_to_spare_is_refused(residual: Model) -> None:
    model = planned(residual)
    setup = quantizer_setup(model.graph, load_target("generic"))
    model.plan = plan_of_bits(setup, {layer.name: Precision(2, 8) for layer in setup.layers})
    PassManager(parse("assign-scales")).run(model, context())
    with pytest.raises(UsageError, match="no weight can have fewer bits than in the plan"):
        learned(QUICK, model, context())


def test_a_budget_below_the_least_bits_is_refused_before_anything_is_trained(residual: Model) -> None:
    ctx = context()
    with pytest.raises(InfeasibleError, match="with the least bits everywhere"):
        learned(replace(QUICK, max_size="0.1x"), planned(residual), ctx)
    assert ctx.journal == []
