"""Bits that are trained: planes hold the codes, shrink, and are dropped; layers that need bits keep them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hwmodels import Precision
from hwmodels.registry import load_target
from passes.allocation.bsq import Bsq
from passes.allocation.learned_budgets import LearnedBudgets, pricing
from passes.api import Aspect, PassContext
from passes.errors import DataError, InfeasibleError, UsageError
from passes.execution.dataset import Dataset, InputSpec
from passes.execution.simulator import Simulator
from passes.execution.sources import ArraySource
from passes.ir.model import Model
from passes.ir.plan import Role, TensorQuant
from passes.ir.setup import quantizer_setup
from passes.ir.specs import plan_of_bits
from passes.manager import PassManager
from passes.numerics import IntFormat, PerChannel, PerGroup, QuantParams, QuantSpec
from passes.pipeline import parse

torch = pytest.importorskip("torch", reason="needs the extra train")
from passes.training.bit_planes import BitPlanes  # noqa: E402

CPU = torch.device("cpu")
QUICK = Bsq(steps=40, batch=16, rate=0.1, held=32, rounds=4, max_rise=1e9)


def planes_of(codes: list[list[float]], bits: int = 4) -> BitPlanes:
    scale = np.full(len(codes), 0.25, np.float32)
    quant = TensorQuant(
        Role.WEIGHT,
        QuantSpec(IntFormat(bits), PerChannel(0)),
        QuantParams(scale, np.zeros(len(codes), np.int32)),
    )
    return BitPlanes(quant, np.array(codes), CPU)


def test_planes_hold_the_codes() -> None:
    weight = planes_of([[5, -3], [0, -8]])
    assert (weight.planes, weight.bits, weight.count) == (3, 4, 4)
    assert weight.positive[:, 0, 0].tolist() == [1, 0, 4]
    assert weight.negative[:, 0, 1].tolist() == [1, 2, 0]
    # The lowest code has no counterpart.
    assert weight.value().tolist() == [[1.25, -0.75], [0.0, -1.75]]
    # Of four weights three have the last bit: root of 3/4.
    assert weight.norms().tolist() == pytest.approx([0.75**0.5, 0.5**0.5, 0.5**0.5])


def test_all_planes_have_the_gradient_of_the_weight() -> None:
    weight = planes_of([[5, -3]])
    torch.autograd.backward([weight.value().sum()])
    assert weight.positive.grad.tolist() == [[[0.25, 0.25]]] * 3
    assert weight.negative.grad.tolist() == [[[-0.25, -0.25]]] * 3


def test_the_last_plane_shrinks_most() -> None:
    weight = planes_of([[5, -3], [7, -7]])
    before = weight.norms()
    weight.shrink(0.4)
    assert (before - weight.norms()).tolist() == pytest.approx([0.4, 0.1, 0.025], rel=1e-4)
    with torch.no_grad():
        weight.positive.fill_(9.0)
        weight.negative.fill_(-9.0)
    weight.shrink(0.0)
    assert weight.positive[:, 0, 0].tolist() == [2.0, 4.0, 8.0]
    assert weight.negative[:, 0, 0].tolist() == [0.0, 0.0, 0.0]


@pytest.mark.parametrize(
    ("codes", "left", "scale", "planes"),
    [
        ([[5, -3]], [[5, -3]], 0.25, 3),
        ([[4, -6]], [[2, -3]], 0.5, 2),
        ([[4, -4]], [[1, -1]], 1.0, 1),
        ([[1, -1]], [[1, -1]], 0.25, 1),
        ([[0, 0]], [[0, 0]], 0.25, 0),
    ],
)
def test_outer_planes_of_zeros_are_dropped(
    codes: list[list[int]], left: list[list[int]], scale: float, planes: int
) -> None:
    weight = planes_of(codes)
    values = weight.value().tolist()
    assert weight.requantize(tolerance=0.0) == 3 - planes
    assert weight.planes == planes
    decision = weight.decision(4)
    assert decision.codes.tolist() == left
    if planes:
        assert decision.params.scale.tolist() == [scale]
        assert weight.value().tolist() == values
    else:
        assert weight.value().tolist() == [[0.0, 0.0]]
        assert weight.bits == 2


def test_a_last_plane_that_has_nearly_gone_is_dropped_with_its_codes_rounded() -> None:
    weight = planes_of([[6, -2, 4, 5]])
    weight.shrink(0.25)
    assert weight.requantize(tolerance=0.3) == 1
    # 5 lay between 4 and 6: half to even of codes without their last bit.
    assert weight.decision(3).codes.tolist() == [[3, -1, 2, 2]]


def test_scales_of_groups_are_refused() -> None:
    params = QuantParams(np.ones((1, 2), np.float32), np.zeros((1, 2), np.int32))
    quant = TensorQuant(Role.WEIGHT, QuantSpec(IntFormat(4), PerGroup(1, 2)), params)
    with pytest.raises(UsageError, match="scales of groups are not supported"):
        BitPlanes(quant, np.zeros((1, 4), np.int8), CPU)


def context(count: int = 256) -> PassContext:
    data = np.random.default_rng(2).standard_normal((count, 2, 5, 5)).astype(np.float32)
    inputs = (InputSpec("x", (None, 2, 5, 5), np.dtype(np.float32)),)
    dataset = Dataset(ArraySource(("x",), count, None, {"x": data}), inputs, ("x",), None, count, "test")
    return PassContext(load_target("generic"), training=dataset, calibration=dataset, workers=1)


def planned(model: Model) -> Model:
    setup = quantizer_setup(model.graph)
    model.plan = plan_of_bits(setup, {layer.name: Precision(8, 8) for layer in setup.layers})
    PassManager(parse("assign-scales")).run(model, context())
    return model


def test_more_strength_leaves_fewer_bits_and_the_plan_can_be_lowered(residual: Model) -> None:
    model = planned(residual)
    start, bits = model.plan, []
    for strength in (0.0, 2.0, 8.0):
        model.plan, ctx = start, context()
        result = replace(QUICK, strength=strength).run(model, ctx)
        assert result.wrote is Aspect.PLAN
        bits.append(result.facts["bits"])
        for name, layer in model.plan.layers.items():
            weight = next(it.weight.name for it in quantizer_setup(model.graph).layers if it.name == name)
            assert model.plan.tensors[weight].spec.format.bits == layer.precision.weight_bits
            assert layer.precision.act_bits == 8
        (found,) = Simulator(model, quantizer_setup(model.graph, ctx.target), ctx.training, 1).run(model.plan)
        assert np.isfinite(found).all()
    assert bits[0] > bits[1] > bits[2]
    assert bits[0] > 7.5


def test_the_same_seed_gives_the_same_plan(residual: Model) -> None:
    model = planned(residual)
    start, plans = model.plan, []
    for seed in (0, 0, 1):
        model.plan, ctx = start, context()
        ctx.seed = seed
        replace(QUICK, steps=12, strength=4.0).run(model, ctx)
        plans.append(model.plan)
    assert plans[0] == plans[1]
    assert plans[0] != plans[2]


def test_it_ends_before_the_loss_is_too_high(residual: Model) -> None:
    model, ctx = planned(residual), context()
    result = replace(QUICK, strength=6.0, rounds=10, max_rise=0.3).run(model, ctx)
    losses = [float(entry.message.split("loss ")[1].split()[0]) for entry in ctx.journal]
    most = float(result.summary.rpartition("above ")[2].split()[0])
    assert most > 0.3
    assert all(loss <= most for loss in losses[:-1])
    assert losses[-1] > most
    assert f"{result.facts['bits']:.2f} bits" in ctx.journal[-2].message
    assert "stopped: the loss went above 0.3" in result.summary


def test_a_run_that_is_interrupted_ends_in_the_same_plan(residual: Model, tmp_path: Path) -> None:
    model = planned(residual)
    start, step = model.plan, replace(QUICK, strength=4.0, rounds=5)
    step.run(model, context())
    whole = model.plan
    kept = replace(step, checkpoint=str(tmp_path / "bsq.checkpoint"))
    for last in (12, 29):
        ctx = context()

        def interrupt(stage: str, done: int, total: int, last: int = last) -> None:
            if done > last:
                raise KeyboardInterrupt

        model.plan, ctx.progress = start, interrupt
        with pytest.raises(KeyboardInterrupt):
            kept.run(model, ctx)
    ctx = context()
    kept.run(model, ctx)
    assert (ctx.journal[0].subject, "the run goes on from" in ctx.journal[0].message) == ("step 24", True)
    assert model.plan == whole
    model.plan = start
    with pytest.raises(DataError, match="belongs to a run with another"):
        replace(kept, rate=0.123).run(model, context())


@pytest.mark.parametrize(("codes", "scale"), [(9, 0.25), (3, 0.0), (3, float("nan"))])
def test_a_checkpoint_that_makes_no_sense_is_refused(codes: int, scale: float) -> None:
    weight = planes_of([[5, -3]])
    state = {"codes": torch.full((1, 2), codes), "scale": torch.full((1,), scale)}
    with pytest.raises(DataError, match="expected"):
        weight.restore(state)


def test_planes_come_back_from_their_state() -> None:
    weight, again = planes_of([[4, -6]]), planes_of([[5, -3]])
    weight.requantize(tolerance=0.0)
    again.restore(weight.state())
    assert again.value().tolist() == weight.value().tolist()
    assert again.planes == weight.planes == 2


@pytest.mark.parametrize(
    "step", [Bsq(rounds=0), Bsq(strength=-1.0), Bsq(tolerance=1.0), Bsq(strength=float("nan"))]
)
def test_options_that_make_no_sense_are_refused(residual: Model, step: Bsq) -> None:
    with pytest.raises(UsageError, match="bsq: rounds must be at least 1"):
        step.check(planned(residual), context())


def test_a_budget_is_met_and_kept_on_the_way(residual: Model) -> None:
    model, ctx = planned(residual), context()
    limits = [it.most for it in LearnedBudgets(max_size="0.4x").limits(model, ctx)]
    result = replace(QUICK, max_rise=0.0, max_size="0.4x").run(model, ctx)
    bits = [float(entry.message.split()[0]) for entry in ctx.journal]
    assert bits == sorted(bits, reverse=True)
    # Equal ratios: the square root of the whole way, and a bit more as planes are whole, half-way.
    assert len(bits) == 4
    assert bits[1] > 1.3 * bits[3]
    used = {name: layer.precision for name, layer in model.plan.layers.items()}
    costs = pricing(model, ctx)(used, {})
    assert costs["weight_bytes"] <= limits[0]
    assert costs["weight_bytes"] > 0.7 * limits[0]
    assert result.facts["bits"] == bits[-1] or abs(result.facts["bits"] - bits[-1]) < 0.01
    assert "stopped" not in result.summary
    with pytest.raises(InfeasibleError, match="with the least bits everywhere"):
        replace(QUICK, max_size="0.1x").run(planned(residual), ctx)


def test_the_loss_decides_which_planes_go() -> None:
    needed, idle = (planes_of([[5, -3, 7, 1]]) for _ in range(2))
    for weight, size in ((needed, 10.0), (idle, 1.0)):
        torch.autograd.backward([size * weight.value().sum()])
        weight.observe()
    assert needed.hold() == pytest.approx(10 * idle.hold())
    assert needed.harm(1) == pytest.approx(100 * idle.harm(1))
    assert 0 < idle.harm(1) < idle.harm(2)
    # A gradient in codes of twice the size is twice as large.
    held = idle.hold()
    idle.drop(1)
    assert 1.4 * held < idle.hold() < 2.8 * held
    idle.forget()
    assert idle.hold() == 0


def test_steps_are_fitted_as_planes_go() -> None:
    rng = np.random.default_rng(0)
    values = np.clip(np.rint(20 * rng.standard_normal((1, 4000))), -127, 127)
    fitted = planes_of(values.tolist(), bits=8)
    fitted.drop(6)
    error = fitted.value().detach().numpy() - 0.25 * values
    doubled = 16 * np.clip(np.rint(values / 64), -1, 1) - 0.25 * values
    assert fitted.planes == 1
    assert np.square(error).mean() < 0.75 * np.square(doubled).mean()


def test_what_a_weight_is_off_its_code_is_rounded_once() -> None:
    weight = planes_of([[4.9, 5.1, -1.25, 6.75]], bits=8)
    assert weight.value().tolist() == [[1.25, 1.25, -0.25, 1.75]]
    weight.drop(1)
    codes = weight.decision(3).codes.tolist()
    # Twice, 4.9 and 5.1 would both have gone from 5 to 2, half to even.
    assert codes == [[2, 3, -1, 3]]
