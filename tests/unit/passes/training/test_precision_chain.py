"""A walk over precisions during training: weights of loss and cost decide, the least harmful plan is kept."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from hwmodels import Precision
from hwmodels.registry import load_target
from passes.allocation.amed import Amed
from passes.allocation.ddq import Ddq
from passes.analysis.cost import price_plan
from passes.api import Aspect, PassContext
from passes.errors import DataError, UsageError
from passes.execution.dataset import Dataset, InputSpec
from passes.execution.sources import ArraySource
from passes.instruments import PassRecord
from passes.ir.model import Model
from passes.ir.setup import quantizer_setup
from passes.ir.specs import plan_of_bits
from passes.manager import PassManager
from passes.pipeline import parse

torch = pytest.importorskip("torch", reason="needs the extra train")
from passes.training.simulation import Simulation  # noqa: E402

QUICK = Amed(steps=60, batch=16, held=32, every=3, metric="size", score_rate=0.5)


def context(target: str = "generic") -> PassContext:
    data = np.random.default_rng(2).standard_normal((256, 2, 5, 5)).astype(np.float32)
    inputs = (InputSpec("x", (None, 2, 5, 5), np.dtype(np.float32)),)
    dataset = Dataset(ArraySource(("x",), 256, None, {"x": data}), inputs, ("x",), None, 256, "test")
    return PassContext(load_target(target), calibration=dataset, workers=1)


def planned(model: Model) -> Model:
    setup = quantizer_setup(model.graph, load_target("generic"))
    model.plan = plan_of_bits(setup, {layer.name: Precision(8, 8) for layer in setup.layers})
    PassManager(parse("assign-scales")).run(model, context())
    return model


def learned(step: Amed, model: Model, ctx: PassContext) -> PassRecord:
    """Run through the manager, which collects the statistics that the pass asks for."""
    return PassManager((step,)).run(model, ctx)[0]


def test_the_weight_of_the_loss_decides_how_far_bits_go(residual: Model) -> None:
    model = planned(residual)
    start, shares = model.plan, []
    for alpha in (0.0, 1e6):
        model.plan, ctx = start, context()
        result = learned(replace(QUICK, alpha=alpha), model, ctx)
        bits = {name: layer.precision for name, layer in model.plan.layers.items()}
        cost = price_plan(model, ctx, bits)[0].weight_bytes
        # Weights of 256 elements in all: 8 bits are a byte each.
        first = price_plan(model, ctx, dict.fromkeys(bits, Precision(8, 8)))[0].weight_bytes
        assert result.facts["cost"] == pytest.approx(float(cost or 0.0) / float(first or 1.0))
        shares.append(float(result.facts["cost"]))
        for layer in quantizer_setup(model.graph, ctx.target).layers:
            assert model.plan.tensors[layer.weight_name].spec.format.bits == bits[layer.name].weight_bits
            assert model.plan.tensors[layer.act.name].spec.format.bits == bits[layer.name].act_bits
    assert shares[0] < 0.6
    assert shares[1] > shares[0] + 0.2


def test_the_plan_kept_is_the_least_harmful_one(residual: Model) -> None:
    model, ctx = planned(residual), context()
    result = learned(QUICK, model, ctx)
    met = []
    for entry in (entry for entry in ctx.journal if entry.source == "amed"):
        words = entry.message.split()
        met.append(10.0 * float(words[3]) + float(words[1].rstrip("x,")))
    kept = 10.0 * float(result.facts["loss"]) + float(result.facts["cost"])
    assert len(met) == 20
    assert kept == pytest.approx(min(met), rel=1e-2)


def test_a_share_of_the_quantizers_moves_at_a_draw(residual: Model) -> None:
    model = planned(residual)
    start, changes = model.plan, []
    for moving in (0.0, 0.3, 1.0):
        model.plan, ctx = start, context()
        learned(replace(QUICK, moving=moving), model, ctx)
        costs = [entry.message.split(",")[0] for entry in ctx.journal if entry.source == "amed"]
        changes.append(sum(one != other for one, other in pairwise(costs)))
    assert changes[0] == 0 < changes[1] < changes[2]


def test_a_run_that_is_interrupted_ends_in_the_same_plan(residual: Model, tmp_path: Path) -> None:
    model = planned(residual)
    start = model.plan
    learned(QUICK, model, context())
    whole = model.plan
    assert whole != start
    kept = replace(QUICK, checkpoint=str(tmp_path / "amed.checkpoint"))
    for last in (20, 44):
        ctx = context()

        def interrupt(stage: str, done: int, total: int, last: int = last) -> None:
            if stage == "amed" and done > last:
                raise KeyboardInterrupt

        model.plan, ctx.progress = start, interrupt
        with pytest.raises(KeyboardInterrupt):
            learned(kept, model, ctx)
    ctx = context()
    model.plan = start
    learned(kept, model, ctx)
    assert (ctx.journal[0].subject, "the run goes on from" in ctx.journal[0].message) == ("step 42", True)
    assert model.plan == whole
    model.plan = start
    with pytest.raises(DataError, match="belongs to a run with another"):
        learned(replace(kept, rate=0.123), model, context())


def test_a_loss_that_is_not_finite_keeps_the_best_plan(
    residual: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, ctx = planned(residual), context()
    made: list[Simulation] = []
    original = Simulation.of
    monkeypatch.setattr(Simulation, "of", lambda *args: made.append(original(*args)) or made[-1])

    def poison(stage: str, done: int, total: int) -> None:
        if done == 32:
            made[0].steps["r"] = lambda x, stay=None: x * float("nan")

    ctx.progress = poison
    result = learned(QUICK, model, ctx)
    assert "not finite in step 33: the result of layer first is NaN or infinite" in result.summary
    assert 0 < int(result.facts["step"]) <= 30
    assert result.wrote is Aspect.PLAN


@pytest.mark.parametrize("step", [QUICK, Ddq(steps=4, max_size="2x")], ids=["amed", "ddq"])
def test_a_plan_of_the_least_bits_leaves_no_choice(residual: Model, step: Amed | Ddq) -> None:
    ctx = context("cortex-m55")
    setup = quantizer_setup(residual.graph, ctx.target)
    residual.plan = plan_of_bits(setup, {layer.name: Precision(4, 8) for layer in setup.layers})
    PassManager(parse("assign-scales")).run(residual, ctx)
    with pytest.raises(UsageError, match=r"on cortex-m55 no weight or activation can have fewer bits"):
        learned(step, residual, ctx)


@pytest.mark.parametrize(
    ("step", "message"),
    [
        (replace(QUICK, metric="latency"), "target generic has metric size, bops, not latency"),
        (replace(QUICK, temperature=0.0), "temperature must be above 0"),
        (replace(QUICK, moving=1.5), "moving shares from 0 to 1"),
        (replace(QUICK, every=0), "every must be at least 1"),
    ],
)
def test_options_that_make_no_sense_are_refused(residual: Model, step: Amed, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        step.check(planned(residual), context())
