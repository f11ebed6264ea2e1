"""Clips chosen by the results of layers."""

from __future__ import annotations

import numpy as np
import pytest

from hwmodels import Precision
from hwmodels.registry import load_target
from passes.api import PassContext
from passes.execution.collect import HISTOGRAMS, PATCHES, CollectActivations
from passes.execution.dataset import Dataset, graph_inputs
from passes.execution.session import Level, Session
from passes.execution.sources import ArraySource
from passes.ir.layers import find_layers
from passes.ir.model import Model
from passes.ir.onnx_io import model_from_text, to_proto
from passes.ir.setup import quantizer_setup
from passes.ir.specs import plan_of_bits
from passes.lowering.encoding import Form
from passes.lowering.qdq import emit_qdq
from passes.manager import PassManager
from passes.pipeline import parse
from passes.transform.assign_scales import AssignScales, bias_floor, second_moments
from passes.transform.clip_search import Clip

SAMPLES = 64
W1 = np.random.default_rng(2).standard_normal((6, 8)).astype(np.float32)
W2 = np.random.default_rng(3).standard_normal((3, 6)).astype(np.float32)


def text(values: np.ndarray) -> str:
    return "{" + ", ".join(f"{value:f}" for value in values.ravel()) + "}"


def network(first: np.ndarray = W1, between: str = "h = Relu(a)") -> Model:
    """Two Gemm with a Relu between them."""
    return model_from_text(
        f"""<ir_version: 8, opset_import: ["" : 13]>
        net (float[N,8] x) => (float[N,3] y)
        <float[6,8] w1 = {text(first)}, float[6] b1 = {{0.1, 0.1, 0.1, 0.1, 0.1, 0.1}},
         float[3,6] w2 = {text(W2)}> {{
            [first] a = Gemm<transB = 1>(x, w1, b1)
            [between] {between}
            [second] y = Gemm<transB = 1>(h, w2)
        }}"""
    )


def context(model: Model, outlier: float = 1.0) -> PassContext:
    """Correlated samples whose last channel is larger than the others."""
    rng = np.random.default_rng(0)
    few = rng.standard_normal((SAMPLES, 3)) @ rng.standard_normal((3, 8))
    data = (few + 0.2 * rng.standard_normal((SAMPLES, 8))).astype(np.float32)
    data[:, 7] *= outlier
    source = ArraySource(("x",), SAMPLES, None, {"x": data})
    dataset = Dataset(source, graph_inputs(model.graph), ("x",), None, SAMPLES, "test")
    return PassContext(load_target("generic"), calibration=dataset, workers=1)


def noise(model: Model, ctx: PassContext, step: str, bits: Precision) -> float:
    """Noise over signal after the assignment of scales."""
    setup = quantizer_setup(model.graph, ctx.target)
    model.plan = plan_of_bits(setup, {layer.name: bits for layer in setup.layers})
    PassManager(parse(step)).run(model, ctx)
    (reference,) = Session(to_proto(model), threads=1).run_all(ctx.calibration.batches(16))
    (found,) = Session(emit_qdq(model, setup, Form.QCDQ), Level.BASIC, 1).run_all(ctx.calibration.batches(16))
    return float(np.square(found - reference).mean() / reference.var())


@pytest.mark.parametrize("clip", [Clip.WEIGHTS, Clip.BOTH])
def test_results_are_nearer_to_those_of_the_float_network(clip: Clip) -> None:
    model, bits = network(), Precision(3, 8)
    plain = noise(model, context(model), "assign-scales,bias-correction", bits)
    other = network()
    assert (
        noise(other, context(other), f"assign-scales{{clip={clip} clip-bits=8}},bias-correction", bits)
        < plain
    )
    scales = [float(it.plan.tensors["w1"].params.scale.mean()) for it in (model, other)]
    assert scales[0] != scales[1]


def test_what_no_weight_multiplies_is_clipped() -> None:
    blind = W1.copy()
    blind[:, 7] = 0.0
    plain, searched = network(blind), network(blind)
    bits = Precision(8, 4)
    before = noise(plain, context(plain, 20.0), "assign-scales{clip=none}", bits)
    after = noise(searched, context(searched, 20.0), "assign-scales{clip=acts}", bits)
    assert after < 0.5 * before
    old, new = (float(it.plan.tensors["x"].params.scale) for it in (plain, searched))
    assert new < 0.4 * old, "more than one round can reach"


def test_what_is_read_otherwise_too_is_not_given_up() -> None:
    blind = W1.copy()
    blind[:, 7] = 0.0
    model = network(blind)
    alone = noise(model, context(model, 20.0), "assign-scales{clip=acts clip-bits=8}", Precision(8, 8))
    scale = float(model.plan.tensors["x"].params.scale)
    read = model_from_text(
        f"""<ir_version: 8, opset_import: ["" : 13]>
        net (float[N,8] x) => (float[N,8] y)
        <float[8,8] w1 = {text(np.vstack([blind, blind[:2]]))}, float[8,8] w2 = {text(np.eye(8))}> {{
            [first] a = Gemm<transB = 1>(x, w1)
            [sum] h = Add(a, x)
            [second] y = Gemm<transB = 1>(h, w2)
        }}"""
    )
    shared = noise(read, context(read, 20.0), "assign-scales{clip=acts clip-bits=8}", Precision(8, 8))
    assert float(read.plan.tensors["x"].params.scale) > scale
    assert min(alone, shared) > 0


@pytest.mark.parametrize(
    ("bits", "options"), [(16, "{clip=both}"), (5, "{clip=both}"), (5, ""), (8, "{clip-bits=4}")]
)
def test_wider_activations_are_left_alone(bits: int, options: str) -> None:
    wide, plain = network(), network()
    noise(wide, context(wide), f"assign-scales{options}", Precision(16 if bits == 16 else 4, bits))
    noise(plain, context(plain), "assign-scales{clip=none}", Precision(16 if bits == 16 else 4, bits))
    assert wide.plan.tensors == plain.plan.tensors


def test_four_bits_are_searched_unless_told_otherwise() -> None:
    model, plain = network(), network()
    noise(model, context(model), "assign-scales", Precision(4, 4))
    noise(plain, context(plain), "assign-scales{clip=none}", Precision(4, 4))
    assert model.plan.tensors != plain.plan.tensors


def test_moments_ask_for_the_inputs_of_layers() -> None:
    assert AssignScales().observes == {HISTOGRAMS}
    assert AssignScales(weighted=True).observes == {HISTOGRAMS, PATCHES}


def test_second_moments_have_the_layout_of_the_weight() -> None:
    model = network()
    ctx = context(model, 5.0)
    ctx.observes = frozenset({PATCHES})
    patches = ctx.get(CollectActivations(), model).patches
    first, second = find_layers(model.graph)[0]
    moments = second_moments(first, patches)
    assert moments is not None
    assert moments.shape == (6, 8)
    np.testing.assert_array_equal(moments, np.broadcast_to(moments[0], (6, 8)))
    inputs = ctx.calibration.source.arrays["x"]
    np.testing.assert_allclose(moments[0], np.square(inputs).mean(axis=0), rtol=0.2)
    assert second_moments(second, {}) is None


def test_weighted_scales_serve_what_is_multiplied() -> None:
    uneven = W1.copy()
    uneven[:, 0] = 12.0
    plain, weighted = network(uneven), network(uneven)
    for model, step in ((plain, "assign-scales"), (weighted, "assign-scales{weighted}")):
        ctx = context(model)
        ctx.calibration.source.arrays["x"][:, 0] *= 0.01
        noise(model, ctx, step, Precision(3, 8))
    old, new = (np.asarray(it.plan.tensors["w1"].params.scale) for it in (plain, weighted))
    assert (new <= old).all()
    assert (new < 0.5 * old).any()


def test_biases_fit_the_scales_that_activations_end_with() -> None:
    blind = W1.copy()
    blind[:, 7] = 0.0
    model = network(blind)
    layer = quantizer_setup(model.graph).layers[0]
    layer.bias.values = np.full(6, 1e9, np.float32)
    noise(model, context(model, 20.0), "assign-scales{clip=acts}", Precision(8, 4))
    act, weight = model.plan.tensors["x"], model.plan.tensors["w1"]
    assert (weight.params.scale >= bias_floor(layer, weight, act)).all()
    assert (weight.params.scale > 0.05).all(), "the bias decides"
