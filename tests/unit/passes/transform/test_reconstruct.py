"""Block reconstruction: it lowers errors, keeps what it cannot improve, and refuses what it cannot run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from hwmodels import Precision
from hwmodels.registry import load_target
from passes.api import Aspect, PassContext, PassResult
from passes.errors import ModelError, PreconditionError, UsageError
from passes.execution.dataset import Dataset, InputSpec
from passes.execution.session import Level, Session
from passes.execution.simulator import Simulator
from passes.execution.sources import ArraySource
from passes.ir.model import Model
from passes.ir.onnx_io import model_from_text, to_proto
from passes.ir.setup import quantizer_setup
from passes.ir.specs import plan_of_bits
from passes.lowering.encoding import Form
from passes.lowering.qdq import emit_qdq
from passes.manager import PassManager
from passes.numerics import quantize
from passes.pipeline import parse
from passes.transform.reconstruct import Reconstruct

torch = pytest.importorskip("torch", reason="needs the extra train")
from passes.training.learn import BlockLearner  # noqa: E402
from passes.training.simulation import Simulation  # noqa: E402

SAMPLES = 96
QUICK = Reconstruct(iterations=60, batch=16, rate=0.03)


def numbers(rng: np.random.Generator, count: int) -> str:
    return ", ".join(f"{value:.4f}" for value in rng.standard_normal(count))


def network(batch: str = "N") -> Model:
    """A stem, a residual block of two convolutions, a pooling and a classifier."""
    rng = np.random.default_rng(1)
    return model_from_text(f"""<ir_version: 8, opset_import: ["" : 13]>
        net (float[{batch},2,5,5] x) => (float[{batch},3] y)
        <float[4,2,3,3] w0 = {{{numbers(rng, 72)}}}, float[4] b0 = {{{numbers(rng, 4)}}},
         float[4,4,3,3] w1 = {{{numbers(rng, 144)}}}, float[4] b1 = {{{numbers(rng, 4)}}},
         float[4,4,3,3] w2 = {{{numbers(rng, 144)}}}, float[4,3] w3 = {{{numbers(rng, 12)}}}>
        {{
            [stem] a = Conv <pads=[1,1,1,1]> (x, w0, b0)
            [relu0] r = Relu(a)
            [first] c = Conv <pads=[1,1,1,1]> (r, w1, b1)
            [relu1] d = Relu(c)
            [second] e = Conv <pads=[1,1,1,1]> (d, w2)
            [sum] s = Add(e, r)
            [relu2] t = Relu(s)
            [pool] p = GlobalAveragePool(t)
            [flat] f = Flatten(p)
            [head] y = MatMul(f, w3)
        }}""")


def context(count: int = SAMPLES, batch: int | None = None) -> PassContext:
    data = np.random.default_rng(2).standard_normal((count, 2, 5, 5)).astype(np.float32)
    inputs = (InputSpec("x", (batch, 2, 5, 5), np.dtype(np.float32)),)
    dataset = Dataset(ArraySource(("x",), count, None, {"x": data}), inputs, ("x",), None, count, "test")
    return PassContext(load_target("generic"), calibration=dataset, workers=1)


def planned(weight_bits: int = 3, act_bits: int = 6, batch: int | None = None) -> Model:
    model, ctx = network(str(batch or "N")), context(batch=batch)
    setup = quantizer_setup(model.graph, ctx.target)
    bits = {layer.name: Precision(weight_bits, act_bits) for layer in setup.layers}
    # The result is as good as its last layer, so that what blocks before it learn shows.
    model.plan = plan_of_bits(setup, bits | {"head": Precision(8, act_bits)})
    PassManager(parse("assign-scales{method=minmax}")).run(model, ctx)
    return model


def run(step: Reconstruct, model: Model, ctx: PassContext) -> PassResult:
    step.check(model, ctx)
    return step.run(model, ctx)


def noise(model: Model, ctx: PassContext) -> float:
    (expected,) = Session(to_proto(model), threads=1).run_all(ctx.calibration.batches(16))
    (found,) = Simulator(model, quantizer_setup(model.graph, ctx.target), ctx.calibration, 1).run(model.plan)
    return float(np.square(found - expected).mean())


@pytest.mark.parametrize("scope", ["block", "layer"])
def test_the_error_at_the_output_falls(scope: str) -> None:
    model, ctx = planned(), context()
    before = noise(model, ctx)
    (step,) = parse(f"reconstruct{{iterations=60 batch=16 rate=0.03 scope={scope}}}")
    assert isinstance(step, Reconstruct)
    result = run(step, model, ctx)
    assert result.wrote is Aspect.PLAN
    assert result.facts["blocks"] == (2 if scope == "block" else 4)
    assert noise(model, ctx) < 0.7 * before


def test_a_model_of_fixed_batch_size_is_learned_a_batch_at_a_time() -> None:
    model, ctx = planned(batch=8), context(batch=8)
    before = noise(model, ctx)
    assert run(QUICK, model, ctx).facts["learned"] == 2
    assert noise(model, ctx) < 0.7 * before


def test_codes_lie_at_most_one_step_from_the_nearest() -> None:
    model = planned()
    run(QUICK, model, context())
    moved = 0
    for layer in quantizer_setup(model.graph).layers:
        assert layer.weight is not None
        quant = model.plan.tensors[layer.weight.name]
        if quant.codes is None or quant.params is None:
            continue
        nearest = quantize(layer.weight_values(), quant.spec, quant.params).astype(int)
        assert np.abs(quant.codes - nearest).max() <= 1
        assert quant.codes.dtype == quant.spec.format.dtype
        moved += int((quant.codes != nearest).sum())
    assert moved > 0


def test_the_lowered_model_computes_what_the_simulation_in_torch_does() -> None:
    model, ctx = planned(), context()
    run(QUICK, model, ctx)
    simulation = Simulation.of(model, ctx.target)
    feed = next(ctx.calibration.batches(SAMPLES))["x"]
    step = simulation.steps["x"]
    with torch.no_grad():
        feeds = {"x": step(torch.from_numpy(feed)), **simulation.constants}
        found = simulation.bridge.run(feeds, changes=simulation.steps)["y"].numpy()
    lowered = emit_qdq(model, quantizer_setup(model.graph, ctx.target), Form.QCDQ)
    (expected,) = Session(lowered, Level.BASIC, 1).run_all(ctx.calibration.batches(16))
    # The lowered model rounds biases, and so falls to the other side of a step now and then.
    assert np.abs(found - expected).mean() < 0.01 * np.abs(expected).mean()


def test_the_same_seed_gives_the_same_plan_and_another_one_another() -> None:
    plans = []
    for seed in (0, 0, 1):
        model, ctx = planned(), context()
        ctx.seed = seed
        run(QUICK, model, ctx)
        plans.append(model.plan)
    assert plans[0] == plans[1]
    assert plans[0] != plans[2]


def test_it_starts_from_the_codes_of_the_plan() -> None:
    model, ctx = planned(), context()
    quant = model.plan.tensors["w1"]
    assert quant.params is not None
    worse = np.clip(quantize(network().graph.tensors()["w1"].values, quant.spec, quant.params) + 1, -4, 3)
    tensors = {**model.plan.tensors, "w1": quant.with_codes(quant.params, worse.astype(np.int8))}
    model.plan = replace(model.plan, tensors=tensors)
    frozen = Reconstruct(iterations=1, rate=0.0, step_rate=0.0, bias_rate=0.0)
    result = run(frozen, model, ctx)
    assert result.wrote is Aspect.NONE
    np.testing.assert_array_equal(model.plan.tensors["w1"].codes, worse)


def test_a_block_that_gets_no_better_stays_and_is_noted() -> None:
    model, ctx = planned(), context()
    before = model.plan
    result = run(Reconstruct(iterations=2, rate=0.0, step_rate=0.0, bias_rate=0.0), model, ctx)
    assert result.wrote is Aspect.NONE
    assert model.plan == before
    assert [entry.message for entry in ctx.journal] == ["this block stays as it was: it got no better"] * 2


def test_a_loss_that_is_not_finite_stops_the_block_and_is_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    model, ctx = planned(), context()
    monkeypatch.setattr(BlockLearner, "_loss", lambda *_: torch.tensor(float("nan")))
    assert run(QUICK, model, ctx).wrote is Aspect.NONE
    assert {entry.subject for entry in ctx.journal} == {"stem + first + second", "head"}
    assert all("its loss is NaN" in entry.message for entry in ctx.journal)


def test_a_block_without_hope_is_given_up_when_the_regularizer_sets_in(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model, ctx = planned(), context()
    before, steps = model.plan, []

    def loss(*_: object) -> torch.Tensor:
        steps.append(1)
        return torch.tensor(1.5, requires_grad=True)

    monkeypatch.setattr(BlockLearner, "_loss", loss)
    assert run(QUICK, model, ctx).wrote is Aspect.NONE
    assert model.plan == before
    message = "this block stays as it was: soft weights do no better in 12 steps"
    assert [entry.message for entry in ctx.journal] == [message] * 2
    # The loss of the thirteenth step is known when the block is given up.
    assert len(steps) == 2 * 13


def test_a_graph_whose_results_do_not_divide_into_samples_is_left_alone() -> None:
    model = model_from_text("""<ir_version: 8, opset_import: ["" : 13]>
        net (float[N,2,5,5] x) => (float[5,N,2,5] y) <float[2,2,1,1] w = {1, 2.3, 3, 4}>
        { [conv] c = Conv(x, w) [turn] y = Transpose <perm=[2,0,1,3]> (c) }""")
    model.graph.tensors()["c"].shape = None
    ctx = context()
    model.plan = plan_of_bits(quantizer_setup(model.graph, ctx.target), {"conv": Precision(4, 8)})
    PassManager(parse("assign-scales{method=minmax}")).run(model, ctx)
    assert run(QUICK, model, ctx).wrote is Aspect.NONE
    assert "its results do not divide into samples" in ctx.journal[-1].message


def test_an_activation_that_is_not_finite_is_named() -> None:
    model, ctx = planned(), context()
    model.graph.tensors()["w1"].values[0, 0, 0, 0] = np.inf
    with pytest.raises(ModelError, match=r"block stem .*: activation 'f' is NaN or infinite"):
        run(QUICK, model, ctx)


def test_few_samples_are_noted() -> None:
    ctx = context(8)
    run(QUICK, planned(), ctx)
    assert "8 are few: what is learned may fit only these" in [entry.message for entry in ctx.journal]


def test_wide_weights_keep_their_rounding() -> None:
    model, ctx = planned(8, 8), context()
    run(replace(QUICK, max_bits=7), model, ctx)
    assert all(quant.codes is None for quant in model.plan.tensors.values())


def test_a_plan_without_scales_is_refused() -> None:
    model, ctx = planned(), context()
    setup = quantizer_setup(model.graph, ctx.target)
    model.plan = plan_of_bits(setup, {layer.name: Precision(4, 8) for layer in setup.layers})
    with pytest.raises(PreconditionError, match="run assign-scales first"):
        Reconstruct().check(model, ctx)


@pytest.mark.parametrize(
    ("step", "message"),
    [
        (Reconstruct(iterations=0), "iterations, batch and limit must be at least 1"),
        (Reconstruct(drop=1.0), "drop must be in 0..1"),
        (Reconstruct(rate=-1.0), "rates must not be negative"),
    ],
)
def test_options_that_make_no_sense_are_refused(step: Reconstruct, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        step.check(planned(), context())


def test_missing_data_and_missing_torch_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    ctx = context()
    ctx.calibration = None
    with pytest.raises(UsageError, match="needs calibration data"):
        Reconstruct().check(planned(), ctx)
    monkeypatch.setattr("passes.transform.reconstruct.find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"install the extra: pip install 'qtool\[train\]'"):
        Reconstruct().check(planned(), context())


def test_a_node_that_the_bridge_does_not_run_is_named(planned_loop: Callable[[], Model]) -> None:
    with pytest.raises(ModelError, match=r"node odd \(NonZero\): the operator is not supported"):
        run(QUICK, planned_loop(), context())


@pytest.fixture
def planned_loop() -> Callable[[], Model]:
    """A model with a node that has no place in the bridge."""

    def make() -> Model:
        model = model_from_text("""<ir_version: 8, opset_import: ["" : 13]>
            net (float[N,2,5,5] x) => (float[N,2,5,5] y, int64[4,M] n) <float[2,2,1,1] w = {1, 2, 3, 4}>
            { [conv] y = Conv(x, w) [odd] n = NonZero(x) }""")
        setup = quantizer_setup(model.graph)
        model.plan = plan_of_bits(setup, {"conv": Precision(4, 8)})
        PassManager(parse("assign-scales{method=minmax}")).run(model, context())
        return model

    return make
