"""Channels between convolutions: where they go, what scales them, and that the model computes what it did."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwmodels import Precision
from hwmodels.registry import load_target
from passes.api import PassContext
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
from passes.testing import check_pass
from passes.transform.channel_flow import ChannelFlow
from passes.transform.conv_sites import conv_sites
from passes.transform.smooth import Smooth
from passes.transform.smooth_site import Site

SAMPLES = 32
SHAPES = {"point": (4, 3, 1, 1), "depth": (4, 1, 3, 3), "left": (3, 4, 1, 1), "right": (2, 4, 3, 3)}
SHAPES |= {"meet": (4, 5, 1, 1), "more": (4, 4, 1, 1), "grouped": (4, 2, 1, 1), "dense": (4, 6)}
BODY = """
    [point] a = Conv(x, point, point_b)
    [relu] b = Relu(a)
    [depth] c = Conv<group = 4, pads = [1, 1, 1, 1]>(b, depth, depth_b)
    [clip] d = Clip(c, zero)
    [left] e = Conv(d, left, left_b)
    [right] f = Conv<pads = [1, 1, 1, 1]>(d, right, right_b)
    [join] g = Concat<axis = 1>(e, f)
    [meet] h = Conv(g, meet, meet_b)
    [more] i = Conv(h, more, more_b)
    [sum] j = Add(h, i)
    [pool] k = GlobalAveragePool(j)
    [flat] l = Flatten(k)
    [dense] y = Gemm(l, dense, dense_b)
"""
OUTPUT = "float[N,6] y"


def network(body: str = BODY, output: str = OUTPUT, loud: float = 1.0) -> Model:
    """A small network with everything that hands channels on; one channel of the first layer is loud."""
    rng = np.random.default_rng(1)
    constants = {name: rng.standard_normal(shape) for name, shape in SHAPES.items()}
    constants |= {f"{name}_b": rng.standard_normal(shape[0]) for name, shape in SHAPES.items()}
    constants["dense_b"] = rng.standard_normal(6)
    constants["point"][1] *= loud
    written = ", ".join(
        f"float[{','.join(map(str, array.shape))}] {name} = {{{', '.join(f'{v:f}' for v in array.ravel())}}}"
        for name, array in constants.items()
        if f"{name})" in body or f"{name}," in body
    )
    return model_from_text(
        f"""<ir_version: 8, opset_import: ["" : 17]>
        net (float[N,3,5,5] x) => ({output})
        <{written}, float zero = {{0}}, float six = {{6}}, float high = {{3.4028235e38}}> {{{body}}}"""
    )


def images(scale: float = 1.0) -> np.ndarray:
    data = np.random.default_rng(2).standard_normal((SAMPLES, 3, 5, 5))
    return np.asarray(scale * data, np.float32)


def context() -> PassContext:
    inputs = (InputSpec("x", (None, 3, 5, 5), np.dtype(np.float32)),)
    source = ArraySource(("x",), SAMPLES, None, {"x": images()})
    data = Dataset(source, inputs, ("x",), None, SAMPLES, "test")
    return PassContext(load_target("generic"), calibration=data, workers=1)


def sites_of(model: Model) -> list[Site]:
    return conv_sites(model.graph, quantizer_setup(model.graph).layers)


def result(model: Model, scale: float = 1.0) -> np.ndarray:
    return Session(to_proto(model), threads=1).run({"x": images(scale)})[0]


def test_the_places_of_a_network() -> None:
    found = sites_of(network())
    assert [(it.name, [reader.layer.name for reader in it.readers]) for it in found] == [
        ("point", ["depth"]),
        ("depth", ["left", "right"]),
        ("left", ["meet"]),
        ("meet", ["more", "dense"]),
    ]
    assert [it.channels for it in found] == [4, 4, 5, 4]
    assert found[2].constants() == {"left", "left_b", "right", "right_b", "meet"}
    assert found[3].constants() == {"meet", "meet_b", "more", "more_b", "dense"}


def test_branches_keep_their_places_in_a_concatenation() -> None:
    joined = sites_of(network())[2]
    assert [source.channels.tolist() for source in joined.sources] == [[0, 1, 2]] * 2 + [[3, 4]] * 2
    assert joined.readers[0].channels.tolist() == [0, 1, 2, 3, 4]


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_any_factors_leave_the_results_alone(seed: int) -> None:
    rng, model = np.random.default_rng(seed), network()
    before = result(model, 0.1)
    for site in sites_of(model):
        site.scale(np.exp(rng.standard_normal(site.channels)))
    assert not np.array_equal(result(model, 0.1), before)
    np.testing.assert_allclose(result(model, 0.1), before, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (
            "[pool] k = GlobalAveragePool(j)",
            "[act] s = Sigmoid(h) [add] t = Add(j, s) [pool] k = GlobalAveragePool(t)",
        ),
        ("[more] i = Conv(h, more, more_b)", "[more] i = Conv<group = 2>(h, grouped, grouped_b)"),
        ("[meet] h = Conv(g, meet, meet_b)", "[meet] h = Conv(g, meet, meet_b) [again] m = Relu(meet_b)"),
    ],
)
def test_what_bends_or_mixes_channels_fixes_them(old: str, new: str) -> None:
    model = network(BODY.replace(old, new))
    assert "meet" not in {site.name for site in sites_of(model)}


@pytest.mark.parametrize("bounds", ["six", "six, six", "zero, six"])
def test_a_clip_that_is_no_relu_fixes_its_channels(bounds: str) -> None:
    """With factors it would cut off values that calibration, which may be small, has not seen."""
    body = BODY.replace("Clip(c, zero)", f"Clip(c, {bounds})")
    assert "depth" not in {site.name for site in sites_of(network(body))}


@pytest.mark.parametrize("high", ["", ", high"])
def test_a_relu_may_be_written_as_a_clip(high: str) -> None:
    model = network(BODY.replace("Clip(c, zero)", f"Clip(c, zero{high})"))
    assert "depth" in {site.name for site in sites_of(model)}


def test_results_of_the_model_are_fixed() -> None:
    model = network(output="float[N,6] y, float[N,4,5,5] c")
    assert [site.name for site in sites_of(model)] == ["point", "left", "meet"]


def test_products_with_one_number_per_channel_hand_channels_on() -> None:
    gate = "[gate] s = Sigmoid(x0) [mul] t = Mul(j, s) [pool] k = GlobalAveragePool(t)"
    body = BODY.replace("[pool] k = GlobalAveragePool(j)", gate).replace("x0", "q")
    body = "[first] p = Conv(x, point, point_b)\n[squeeze] q = GlobalAveragePool(p)" + body.replace(
        "[point] a = Conv(x, point, point_b)", "[point] a = Relu(p)"
    )
    names = {site.name for site in sites_of(network(body))}
    assert "meet" in names
    assert "first" not in names, "a Sigmoid reads its channels"


def test_numbers_are_shared_along_sums() -> None:
    model = network()
    layers = {it.name: it for it in quantizer_setup(model.graph).layers}
    flow, tensors = ChannelFlow(model.graph, layers), model.graph.tensors()
    assert flow.of(tensors["x"]) is None
    np.testing.assert_array_equal(flow.of(tensors["h"]), flow.of(tensors["i"]))
    np.testing.assert_array_equal(flow.of(tensors["l"]), flow.of(tensors["j"]))
    assert set(flow.of(tensors["e"])).isdisjoint(flow.of(tensors["f"]))
    assert not flow.free[flow.of(tensors["y"])].any()


@pytest.mark.parametrize("bounds", ["zero", "zero, six"])
def test_images_unlike_those_of_calibration_have_the_results_they_had(bounds: str) -> None:
    model, ctx = network(BODY.replace("Clip(c, zero)", f"Clip(c, {bounds})")), context()
    before = result(model, 10.0)
    PassManager((Smooth(alpha="1"),)).run(model, ctx)
    assert model.plan.constants
    np.testing.assert_allclose(result(model, 10.0), before, rtol=1e-3, atol=1e-2)


@pytest.mark.parametrize("alpha", ["auto", "0.5"])
def test_the_pass_conforms(alpha: str) -> None:
    check_pass(Smooth(alpha=alpha), network, context, same_outputs=True)


def test_a_loud_channel_loses_its_harm() -> None:
    def noise(pipeline: str) -> float:
        model, ctx = network(loud=30.0), context()
        # What follows makes as little of the loud channel as of the others.
        depth = model.graph.tensors()["depth"]
        depth.values = np.array(depth.values)
        depth.values[1] /= 30.0
        expected = result(model)
        PassManager(parse(pipeline)).run(model, ctx)
        setup = quantizer_setup(model.graph)
        model.plan = plan_of_bits(setup, {it.name: Precision(8, 5) for it in setup.layers})
        PassManager(parse("assign-scales{method=minmax}")).run(model, ctx)
        found = Simulator(model, setup, ctx.calibration, 1).run(model.plan)[0]
        return float(np.square(found - expected).sum())

    assert noise("canonicalize,smooth") < 0.3 * noise("canonicalize")


def test_what_a_branch_reads_is_fixed() -> None:
    branch = """
    [cond] yes = Cast<to = 9>(six)
    [if] m = If(yes) <then_branch = then () => (float[N,4,5,5] t) { t = Sigmoid(h) },
                      else_branch = other () => (float[N,4,5,5] u) { u = Relu(h) }>
    """
    body = BODY.replace("[pool]", branch + "[both] w = Add(j, m)\n[pool]").replace("Pool(j)", "Pool(w)")
    assert "meet" not in {site.name for site in sites_of(network(body))}
    alone = BODY.replace("[pool]", branch + "[both] w = Relu(m)\n[pool]")
    assert "meet" not in {site.name for site in sites_of(network(alone, OUTPUT + ", float[N,4,5,5] w"))}
