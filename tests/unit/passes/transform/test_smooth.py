"""SmoothQuant: factors by hand, places, the choice of alpha, and what the pass promises."""

from __future__ import annotations

import numpy as np
import pytest

from hwmodels import Precision
from hwmodels.registry import load_target
from passes.api import Aspect, PassContext
from passes.errors import ModelError, UsageError
from passes.execution.channels import ChannelRows, observe_rows
from passes.execution.dataset import Dataset, InputSpec
from passes.execution.ranges import weight_params
from passes.execution.session import Session
from passes.execution.simulator import Simulator
from passes.execution.sources import ArraySource
from passes.ir.model import Model
from passes.ir.onnx_io import model_from_text, to_proto
from passes.ir.setup import quantizer_setup
from passes.ir.specs import plan_of_bits
from passes.manager import PassManager
from passes.numerics import Histogram, IntFormat, PerChannel, QuantSpec, best_short_params, fake_quantize
from passes.pipeline import parse
from passes.testing import check_pass
from passes.transform.smooth import Smooth
from passes.transform.smooth_site import Site
from passes.transform.smooth_sites import find_sites
from passes.transform.smoothing import expected_error, smoothing_factors

CHANNELS, ROWS = 8, 16


def network(outlier: float = 60.0, gain: str = "gain") -> Model:
    """A normalization with one loud channel before two products, and two layers in a row."""
    rng = np.random.default_rng(3)
    weights = {name: rng.standard_normal((CHANNELS, CHANNELS)) for name in ("w", "v", "u")}
    gains = np.ones(CHANNELS)
    gains[2] = outlier
    for name in ("w", "v"):
        weights[name][2] /= min(outlier, 1e3)
    vectors = {"gain": gains, "shift": 0.1 * gains, "bias": rng.standard_normal(CHANNELS)}
    constants = ", ".join(
        f"float[{','.join(map(str, array.shape))}] {name} = {{{', '.join(f'{v:f}' for v in array.ravel())}}}"
        for name, array in (weights | vectors).items()
    )
    return model_from_text(
        f"""<ir_version: 8, opset_import: ["" : 17]>
        net (float[N,{CHANNELS}] x) => (float[N,{CHANNELS}] y, float[N,{CHANNELS}] z) <{constants}> {{
            [norm] n = LayerNormalization(x, {gain}, shift)
            [left] a = Gemm(n, w, bias)
            [relu] r = Relu(a)
            [right] y = MatMul(n, v)
            [next] z = MatMul(r, u)
        }}"""
    )


def context(samples: int = 64) -> PassContext:
    """Random samples, each a vector."""
    data = np.random.default_rng(0).standard_normal((samples, CHANNELS)).astype(np.float32)
    inputs = (InputSpec("x", (None, CHANNELS), np.dtype(np.float32)),)
    dataset = Dataset(ArraySource(("x",), samples, None, {"x": data}), inputs, ("x",), None, samples, "test")
    return PassContext(load_target("generic"), calibration=dataset, workers=1)


def sites_of(model: Model) -> list[Site]:
    return find_sites(model.graph, quantizer_setup(model.graph).layers)


def test_factors_by_hand() -> None:
    site = sites_of(network())[0]
    for reader in site.readers:
        reader.layer.weight.values = np.ones((CHANNELS, CHANNELS), np.float32)
    largest = np.array([1, 1, 16, 1, 0, 1, 1, 1 / 16.0])
    seen = {"n": ChannelRows(-largest, largest, np.ones((1, CHANNELS), np.float32))}
    expected = np.array([1, 1, 4, 1, 1, 1, 1, 0.25])
    np.testing.assert_allclose(smoothing_factors(site, seen, 0.5), expected)
    np.testing.assert_allclose(smoothing_factors(site, seen, 0.0), np.ones(CHANNELS))


def test_with_alpha_one_activations_become_alike_and_with_zero_the_weights() -> None:
    model = network()
    seen = observe_rows(model, context(), {"n": -1}, ROWS)
    site = sites_of(model)[0]
    even = seen["n"].largest / smoothing_factors(site, seen, 1.0)
    np.testing.assert_allclose(even, even[0])
    site.scale(smoothing_factors(site, seen, 0.0))
    ranges = np.max([np.abs(it.layer.weight_values()).max(axis=1) for it in site.readers], axis=0)
    np.testing.assert_allclose(ranges, ranges[0], rtol=1e-6)


def test_the_expected_error_is_that_of_a_layer() -> None:
    rng = np.random.default_rng(5)
    model = network()
    reader = sites_of(model)[1].readers[0]
    layer = reader.layer
    layer.weight.values = rng.standard_normal((CHANNELS, CHANNELS)).astype(np.float32)
    rows = rng.standard_normal((4096, CHANNELS)).astype(np.float32)
    specs = QuantSpec(IntFormat(4), PerChannel(1)), QuantSpec(IntFormat(4, signed=False), symmetric=False)
    factors = np.exp(rng.standard_normal(CHANNELS))
    found = expected_error(reader, rows, specs, factors)
    scaled, inputs = layer.weight.values * factors[:, None].astype(np.float32), rows / factors
    histogram = Histogram()
    histogram.update(inputs)
    rounded = fake_quantize(inputs, specs[1], best_short_params(histogram, specs[1]))
    result = rounded @ fake_quantize(scaled, specs[0], weight_params(scaled, specs[0]))
    actual = np.square(result - rows @ layer.weight.values).sum() / len(rows)
    assert found == pytest.approx(actual, rel=0.2)


def test_what_is_on_the_grid_has_no_error() -> None:
    reader = sites_of(network())[1].readers[0]
    reader.layer.weight.values = np.full((CHANNELS, CHANNELS), 3.5, np.float32)
    rows = np.tile(np.arange(16, dtype=np.float32)[:, None], (1, CHANNELS))
    specs = QuantSpec(IntFormat(4), PerChannel(1)), QuantSpec(IntFormat(4, signed=False), symmetric=False)
    assert expected_error(reader, rows, specs, np.ones(CHANNELS)) == pytest.approx(0, abs=1e-6)


def test_the_places_of_a_network() -> None:
    found = sites_of(network())
    assert [(site.name, [it.layer.name for it in site.readers]) for site in found] == [
        ("norm", ["left", "right"]),
        ("left", ["next"]),
    ]
    assert found[0].constants() == {"gain", "shift", "w", "v"}
    assert found[1].constants() == {"w", "bias", "u"}


def test_constants_with_other_readers_are_left_alone() -> None:
    assert [site.name for site in sites_of(network(gain="bias"))] == []


def test_a_sample_of_rows_and_exact_maxima() -> None:
    model, ctx = network(), context()
    whole = observe_rows(model, ctx, {"n": -1}, 64)["n"]
    few = observe_rows(model, ctx, {"n": -1}, ROWS)["n"]
    assert few.rows.shape == (ROWS, CHANNELS)
    assert whole.rows.shape == (64, CHANNELS)
    np.testing.assert_array_equal(few.largest, np.abs(whole.rows).max(axis=0))
    np.testing.assert_array_equal(few.largest, whole.largest)


@pytest.mark.parametrize("alpha", ["auto", "0.5", "1"])
def test_the_pass_conforms(alpha: str) -> None:
    check_pass(Smooth(alpha=alpha, rows=ROWS), network, context, same_outputs=True)


def error(pipeline: str, outlier: float) -> float:
    """Squared error of both results after 8-bit quantization."""
    model, ctx = network(outlier), context()
    expected = Session(to_proto(model), threads=1).run_all(ctx.calibration.batches(16))
    PassManager(parse(pipeline)).run(model, ctx)
    setup = quantizer_setup(model.graph)
    bits = {layer.name: Precision(8, 8) for layer in setup.layers}
    model.plan = plan_of_bits(setup, bits)
    PassManager(parse("assign-scales{method=minmax}")).run(model, ctx)
    found = Simulator(model, setup, ctx.calibration, 1).run(model.plan)
    return float(sum(np.square(a - b).sum() for a, b in zip(found, expected, strict=True)))


@pytest.mark.parametrize("step", ["smooth", "smooth{alpha=0.5}"])
def test_outliers_lose_their_harm(step: str) -> None:
    loud = error("canonicalize", 200.0)
    assert error(f"canonicalize,{step}", 200.0) < 0.1 * loud


def test_the_plan_keeps_what_changed_and_nothing_else() -> None:
    model = network()
    before = {name: np.array(model.graph.tensors()[name].values) for name in ("w", "v", "u", "gain", "bias")}
    record = PassManager((Smooth(alpha="0.5", rows=ROWS),)).run(model, context())[0]
    assert record.wrote == Aspect.WEIGHTS | Aspect.PLAN
    assert record.facts == {"sites": 2, "smoothed": 2}
    kept = model.plan.constants
    assert list(kept) == sorted(["w", "v", "u", "gain", "shift", "bias"])
    for name, old in before.items():
        now = model.graph.tensors()[name].values
        np.testing.assert_array_equal(kept[name], now)
        assert (now != old).any()


def test_a_model_without_such_places_is_left_alone(model: Model) -> None:
    model.graph.nodes[1].op = "Sigmoid"
    record = PassManager((Smooth(),)).run(model, PassContext(load_target("generic")))[0]
    assert record.wrote is Aspect.NONE
    assert record.summary == "no channels can be smoothed"


def test_infinity_is_named() -> None:
    with pytest.raises(ModelError, match="activation 'n' is NaN or infinite"):
        PassManager((Smooth(),)).run(network(outlier=3e38), context())


def test_data_are_needed() -> None:
    with pytest.raises(UsageError, match="calibration"):
        PassManager((Smooth(),)).run(network(), PassContext(load_target("generic")))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("smooth{alpha=half}", "alpha must be auto or from 0 to 1, found 'half'"),
        ("smooth{alpha=1.5}", "alpha must be auto or from 0 to 1"),
        ("smooth{alpha=nan}", "alpha must be auto or from 0 to 1"),
        ("smooth{precision=w4}", "smooth: precision"),
        ("smooth{rows=0}", "rows must be at least 1"),
    ],
)
def test_options_are_checked(text: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        PassManager(parse(text)).run(network(), context())
