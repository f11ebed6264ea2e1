"""Distillation: the results of the model come nearer to those in float, and nothing is kept that is worse."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from hwmodels import Precision
from hwmodels.registry import load_target
from passes.api import Aspect, PassContext
from passes.errors import ModelError, PreconditionError, UsageError
from passes.execution.dataset import Dataset, InputSpec
from passes.execution.session import Session
from passes.execution.simulator import Simulator
from passes.execution.sources import ArraySource
from passes.ir.model import Model
from passes.ir.onnx_io import model_from_text, to_proto
from passes.ir.setup import quantizer_setup
from passes.ir.specs import plan_of_bits
from passes.manager import PassManager
from passes.numerics import QuantParams, quantize, short_scale
from passes.pipeline import parse
from passes.transform.distill import Distill

torch = pytest.importorskip("torch", reason="needs the extra train")
from passes.training.agreement import Agreement  # noqa: E402
from passes.training.distillation import Distillation  # noqa: E402
from passes.training.samples import Samples, Split, mirrored  # noqa: E402
from passes.training.simulation import Simulation  # noqa: E402

SAMPLES = 96
QUICK = Distill(iterations=160, batch=16, rate=0.02, step_rate=3e-3, bias_rate=1e-2)


def context(count: int = SAMPLES, start: int = 0) -> PassContext:
    data = np.random.default_rng([2, start]).standard_normal((count, 2, 5, 5)).astype(np.float32)
    inputs = (InputSpec("x", (None, 2, 5, 5), np.dtype(np.float32)),)
    dataset = Dataset(ArraySource(("x",), count, None, {"x": data}), inputs, ("x",), None, count, "test")
    return PassContext(load_target("generic"), calibration=dataset, workers=1)


def planned(model: Model, weight_bits: int = 3) -> Model:
    setup = quantizer_setup(model.graph)
    bits = {layer.name: Precision(weight_bits, 6) for layer in setup.layers}
    model.plan = plan_of_bits(setup, bits)
    PassManager(parse("assign-scales")).run(model, context())
    return model


def divergence(model: Model, ctx: PassContext) -> float:
    """Mean divergence of the simulated model from the float one on the samples of a context."""
    (wanted,) = Session(to_proto(model), threads=1).run_all(ctx.calibration.batches(16))
    (found,) = Simulator(model, quantizer_setup(model.graph, ctx.target), ctx.calibration, 1).run(model.plan)
    logs = [it - np.log(np.exp(it).sum(axis=1, keepdims=True)) for it in (wanted, found)]
    return float((np.exp(logs[0]) * (logs[0] - logs[1])).sum(axis=1).mean())


@pytest.mark.parametrize(("options", "share"), [({}, 0.8), ({"held": 8}, 0.8), ({"mirror": True}, 1.0)])
def test_the_divergence_falls_on_samples_never_seen(
    residual: Model, options: dict[str, Any], share: float
) -> None:
    model, unseen = planned(residual), context(200, start=1)
    before = divergence(model, unseen)
    result = replace(QUICK, **options).run(model, context())
    assert result.wrote is Aspect.PLAN
    assert result.facts["after"] < result.facts["before"]
    assert divergence(model, unseen) < share * before


def test_the_step_of_the_input_is_learned(residual: Model) -> None:
    model = planned(residual)
    quant = model.plan.tensors["x"]
    wide = QuantParams(short_scale(1.4 * quant.params.scale, up=False), quant.params.zero_point)
    model.plan = replace(model.plan, tensors={**model.plan.tensors, "x": quant.with_params(wide)})
    replace(QUICK, rate=0.0, step_rate=0.02).run(model, context())
    assert model.plan.tensors["x"].params.scale < wide.scale


def test_codes_lie_at_most_one_step_from_where_they_start(residual: Model) -> None:
    model = planned(residual)
    starts = {
        layer.weight.name: quantize(layer.weight_values(), quant.spec, quant.params).astype(int)
        for layer in quantizer_setup(model.graph).layers
        if layer.weight is not None
        for quant in [model.plan.tensors[layer.weight.name]]
    }
    QUICK.run(model, context())
    moves = [np.abs(model.plan.tensors[name].codes - start) for name, start in starts.items()]
    assert max(int(move.max()) for move in moves) == 1


def test_the_same_seed_gives_the_same_plan(residual: Model) -> None:
    model = planned(residual)
    start, plans = model.plan, []
    for seed in (0, 0, 1):
        model.plan, ctx = start, context()
        ctx.seed = seed
        replace(QUICK, iterations=20).run(model, ctx)
        plans.append(model.plan)
    assert plans[0] == plans[1]
    assert plans[0] != plans[2]


def test_a_plan_that_gets_no_better_is_kept(residual: Model) -> None:
    model = planned(residual)
    before = model.plan
    result = Distill(iterations=3, rate=0.0, step_rate=0.0, bias_rate=0.0).run(model, context())
    assert result.wrote is Aspect.NONE
    assert model.plan is before


def test_a_loss_that_is_not_finite_ends_it_and_is_noted(
    residual: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, ctx = planned(residual), context()
    before = model.plan
    monkeypatch.setattr(Distillation, "_loss", lambda *_: torch.tensor(float("nan")))
    assert QUICK.run(model, ctx).wrote is Aspect.NONE
    assert model.plan is before
    assert [entry.message for entry in ctx.journal] == [
        "it is not finite in step 1; the best plan so far is kept"
    ]


def test_results_that_are_not_finite_are_named(residual: Model) -> None:
    model = planned(residual)
    model.graph.tensors()["w1"].values[0, 0, 0, 0] = np.inf
    with pytest.raises(ModelError, match="activation 'y' is NaN or infinite"):
        QUICK.run(model, context())


def test_few_samples_are_noted(residual: Model) -> None:
    ctx = context(8)
    replace(QUICK, iterations=1).run(planned(residual), ctx)
    assert [entry.message for entry in ctx.journal] == ["8 are few: what is learned may fit only these"]


def test_wide_weights_keep_their_rounding(residual: Model) -> None:
    model = planned(residual, weight_bits=8)
    QUICK.run(model, context())
    assert all(quant.codes is None for quant in model.plan.tensors.values())


def test_a_model_of_several_results_is_taught_by_squares() -> None:
    model = model_from_text("""<ir_version: 8, opset_import: ["" : 13]>
        net (float[N,2,5,5] x) => (float[N,2,5,5] y, float[N,2,5,5] z) <float[2,2,1,1] w = {1, 2.3, 3, 4.4}>
        { [conv] y = Conv(x, w) [relu] z = Relu(y) }""")
    model = planned(model)
    model.plan = replace(model.plan, biases={"conv": (0.5, -0.5)})
    facts = QUICK.run(model, context()).facts
    assert 0 < facts["after"] < 0.9 * facts["before"]
    assert np.abs(model.plan.biases["conv"]).max() < 0.4


@pytest.mark.parametrize(
    ("step", "message"),
    [
        (Distill(iterations=0), "iterations, batch and checks must be at least 1"),
        (Distill(held=-1), "samples and held at least 0"),
        (Distill(bias_rate=-1.0), "rates must not be negative"),
    ],
)
def test_options_that_make_no_sense_are_refused(residual: Model, step: Distill, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        step.check(planned(residual), context())


def test_what_is_missing_is_refused(residual: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    model, ctx = planned(residual), context()
    ctx.calibration = None
    with pytest.raises(UsageError, match="needs calibration data"):
        Distill().check(model, ctx)
    monkeypatch.setattr("passes.transform.distill.find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"install the extra: pip install 'qtool\[train\]'"):
        Distill().check(model, context())
    model.plan = replace(model.plan, tensors={"x": replace(model.plan.tensors["x"], params=None)})
    with pytest.raises(PreconditionError, match="run assign-scales first"):
        Distill().check(model, context())


def test_logits_and_shares_have_the_same_divergence() -> None:
    wanted, found = torch.tensor([[[0.0, -1.0]]]), torch.tensor([[[-1.0, 0.0]]])
    logits = Agreement.of({"y": wanted})
    shares = Agreement.of({"y": wanted.softmax(-1)})
    assert (logits.shares, shares.shares) == (False, True)
    # p = (1 - s, s) and its mirror image, s = 1 / (1 + 1/e): (2 s - 1) log(s / (1 - s)) = 2 s - 1.
    expected = 2 / (1 + np.exp(-1)) - 1
    assert float(logits.loss({"y": found}, {"y": wanted})) == pytest.approx(expected)
    assert float(shares.loss({"y": found.softmax(-1)}, {"y": wanted.softmax(-1)})) == pytest.approx(expected)


def test_squares_are_relative_to_the_variance() -> None:
    wanted = {"y": torch.tensor([[1.0], [3.0]]), "z": torch.tensor([[0.0], [20.0]])}
    agreement = Agreement.of(wanted)
    # Variances are 2 and 200; errors are 1 and 10 in one of two samples.
    found = {"y": torch.tensor([[1.0], [4.0]]), "z": torch.tensor([[10.0], [20.0]])}
    assert float(agreement.loss(found, wanted)) == pytest.approx(0.5 / 2 + 50 / 200)


def test_splits_are_disjoint_and_take_all() -> None:
    split = Split.of(20, np.random.default_rng(0))
    assert len(split.held) == 3
    assert sorted([*split.held.tolist(), *split.learned.tolist()]) == list(range(20))
    alone = Split.of(1, np.random.default_rng(0))
    assert alone.held.tolist() == alone.learned.tolist() == [0]
    everything = Split.of(5, np.random.default_rng(0), every=0)
    assert sorted(everything.held.tolist()) == sorted(everything.learned.tolist()) == list(range(5))


def test_mirror_images_of_what_is_held_out_decide_and_are_not_learned_from() -> None:
    split = Split.of(40, np.random.default_rng(0), every=10, copies=2)
    held = {at - 20 for at in split.held.tolist()}
    assert len(held) == 2
    assert sorted(split.learned.tolist()) == [at for at in range(40) if at % 20 not in held]


def test_mirror_images_follow_the_images() -> None:
    both = mirrored(
        Samples({"x": torch.arange(4.0).reshape(1, 1, 1, 2, 2), "n": torch.arange(2).reshape(1, 1, 2)}, True)
    )
    assert both.units == 2
    assert both.values["x"][1].flatten().tolist() == [1.0, 0.0, 3.0, 2.0]
    assert both.values["n"].tolist() == [[[0, 1]], [[0, 1]]]


def test_both_matrices_of_a_recurrent_layer_are_rounded_and_learned() -> None:
    rng = np.random.default_rng(5)
    w, r, v = (", ".join(f"{it:.4f}" for it in rng.standard_normal(count)) for count in (18, 27, 9))
    model = model_from_text(f"""<ir_version: 8, opset_import: ["" : 13]>
        net (float[N,5,2] x) => (float[N,3] y)
        <float[1,9,2] w = {{{w}}}, float[1,9,3] r = {{{r}}}, float[3,3] v = {{{v}}}, int64[1] one = {{0}}>
        {{
            [time] t = Transpose <perm=[1,0,2]> (x)
            [gru] a, h = GRU <hidden_size=3> (t, w, r)
            [flat] f = Squeeze(h, one)
            [head] y = MatMul(f, v)
        }}""")
    PassManager(parse("canonicalize")).run(model, context())
    setup = quantizer_setup(model.graph)
    model.plan = plan_of_bits(setup, {layer.name: Precision(3, 8) for layer in setup.layers})
    data = np.random.default_rng(0).standard_normal((96, 5, 2)).astype(np.float32)
    inputs = (InputSpec("x", (None, 5, 2), np.dtype(np.float32)),)
    dataset = Dataset(ArraySource(("x",), 96, None, {"x": data}), inputs, ("x",), None, 96, "test")
    ctx = PassContext(load_target("generic"), calibration=dataset, workers=1)
    PassManager(parse("assign-scales")).run(model, ctx)
    (gru,) = (layer for layer in setup.layers if layer.recurrent)
    names = [part.weight.name for part in gru.parts]
    constants = Simulation.of(model, ctx.target).constants
    for part in gru.parts:
        steps = constants[part.weight.name].numpy() / part.weight_values()
        assert not np.allclose(steps, 1, atol=1e-3)
    replace(QUICK, held=0).run(model, ctx)
    assert all(model.plan.tensors[name].codes is not None for name in names)
