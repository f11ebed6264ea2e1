"""Distributions of the layers of which most loss is expected."""

from __future__ import annotations

import numpy as np
import pytest

from hwmodels import Precision
from passes.execution.collect import ActivationStats
from passes.ir.onnx_io import model_from_text
from passes.ir.plan import LayerBits, QuantPlan, Role, TensorQuant
from passes.ir.setup import QuantizerSetup, quantizer_setup
from passes.numerics import Histogram, IntFormat, PerChannel, PerTensor, QuantParams, QuantSpec
from qtool.distributions import BINS, distributions


@pytest.fixture
def setup() -> QuantizerSetup:
    """A layer of two output channels, of weights 1, -1 and 4, 2."""
    graph = model_from_text(
        """<ir_version: 8, opset_import: ["" : 13]> net (float[N,2] x) => (float[N,2] y)
        <float[2,2] w = {1.0, -1.0, 4.0, 2.0}> { [layer] y = Gemm<transB = 1>(x, w) }"""
    ).graph
    return quantizer_setup(graph)


@pytest.fixture
def plan() -> QuantPlan:
    """Weights of 4 bits with scales 0.25 and 0.5, activations of 8 bits, zero at 128."""
    weight = QuantSpec(IntFormat(4, signed=True), PerChannel(0), symmetric=True)
    act = QuantSpec(IntFormat(8, signed=False), PerTensor(), symmetric=False)
    scales = QuantParams(np.array([0.25, 0.5], np.float32), np.zeros(2, np.int32))
    single = QuantParams(np.float32(0.5), np.asarray(128, np.int32))
    return QuantPlan(
        layers={"layer": LayerBits("Gemm", Precision(4, 8), 0.5)},
        tensors={"w": TensorQuant(Role.WEIGHT, weight, scales), "x": TensorQuant(Role.ACT, act, single)},
    )


def stats(values: list[float]) -> ActivationStats:
    """What calibration says of ``x``."""
    histogram = Histogram()
    histogram.update(np.array(values, np.float32))
    return ActivationStats({"x": (min(values), max(values))}, {"x": histogram}, {}, {}, 1)


def test_weights_have_the_ranges_of_their_widest_and_narrowest_channel(
    setup: QuantizerSetup, plan: QuantPlan
) -> None:
    (found,) = distributions(setup, plan, None)
    assert (found.layer, found.tensor, found.role, found.bits) == ("layer", "w", "weight", 4)
    assert (found.start, found.width * BINS) == (-1.0, 5.0)
    assert (sum(found.counts), found.counts[0], found.counts[-1]) == (4, 1, 1)
    assert (found.low, found.high) == (-4.0, 3.5)
    assert (found.narrow_low, found.narrow_high) == (-2.0, 1.75)


def test_activations_come_from_what_calibration_saw(setup: QuantizerSetup, plan: QuantPlan) -> None:
    _, found = distributions(setup, plan, stats([-3.0, 0.0, 0.5, 0.5, 7.0]))
    assert (found.tensor, found.role, found.bits) == ("x", "act", 8)
    assert sum(found.counts) == 5
    assert len(found.counts) <= BINS
    assert found.start <= -3.0
    assert found.start + len(found.counts) * found.width > 7.0
    assert (found.low, found.high) == (found.narrow_low, found.narrow_high) == (-64.0, 63.5)


def test_a_plan_without_parameters_has_none(setup: QuantizerSetup, plan: QuantPlan) -> None:
    bare = {name: TensorQuant(it.role, it.spec) for name, it in plan.tensors.items()}
    assert distributions(setup, QuantPlan(layers=plan.layers, tensors=bare), stats([1.0])) == ()
