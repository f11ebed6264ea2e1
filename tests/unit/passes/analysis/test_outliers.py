"""Tensors whose range a few values dominate."""

from __future__ import annotations

import numpy as np
import pytest

from passes.analysis.outliers import find_outliers, usual_magnitude
from passes.execution.collect import ActivationStats
from passes.ir.onnx_io import model_from_text
from passes.ir.setup import QuantizerSetup, quantizer_setup
from passes.numerics import Histogram

DEPTH = 128


@pytest.fixture
def setup() -> QuantizerSetup:
    """One layer of two output channels."""
    zeros = ", ".join(["0.0"] * 2 * DEPTH)
    graph = model_from_text(
        f"""<ir_version: 8, opset_import: ["" : 13]> net (float[N,{DEPTH}] x) => (float[N,2] y)
        <float[2,{DEPTH}] w = {{{zeros}}}> {{ [layer] y = Gemm<transB = 1>(x, w) }}"""
    ).graph
    return quantizer_setup(graph)


def stats(values: np.ndarray) -> ActivationStats:
    """What calibration says of ``x``."""
    histogram = Histogram()
    histogram.update(values)
    ranges = {"x": (float(values.min()), float(values.max()))}
    return ActivationStats(ranges, {"x": histogram}, {}, {}, 1)


def test_the_magnitude_that_most_values_stay_below() -> None:
    histogram = Histogram()
    histogram.update(np.array([-8.0, *[1.0] * 50, *[-2.0] * 49], np.float32))
    assert usual_magnitude(histogram, 0.5) == pytest.approx(1.0, abs=0.01)
    assert usual_magnitude(histogram, 0.99) == pytest.approx(2.0, abs=0.01)
    assert usual_magnitude(histogram, 1.0) == pytest.approx(8.0, abs=0.01)


def test_an_activation_with_one_huge_value_is_found(setup: QuantizerSetup) -> None:
    values = np.linspace(-1, 1, 20_000, dtype=np.float32)
    assert find_outliers(setup, stats(values)) == ()
    values[7] = -50.0
    (found,) = find_outliers(setup, stats(values))
    assert (found.tensor, found.role, found.readers, found.channel) == ("x", "act", ("layer",), None)
    assert found.largest == 50.0
    assert found.ratio == pytest.approx(50, rel=0.05)
    assert "smooth" in found.advice


def test_too_few_values_say_nothing(setup: QuantizerSetup) -> None:
    values = np.ones(9_999, np.float32)
    values[0] = 50.0
    assert find_outliers(setup, stats(values)) == ()


def test_the_worst_channel_of_a_weight_is_named(setup: QuantizerSetup) -> None:
    weight = np.ones((2, DEPTH), np.float32)
    weight[0, 3], weight[1, 5] = 4.0, -9.0
    setup.layers[0].weight.values = weight
    (found,) = find_outliers(setup, None)
    assert (found.tensor, found.role, found.channel, found.channels) == ("w", "weight", 1, 2)
    assert (found.largest, found.usual, found.ratio) == (9.0, 1.0, 9.0)
    assert "--group-size" in found.advice


def test_zeros_and_even_channels_are_no_finding(setup: QuantizerSetup) -> None:
    assert find_outliers(setup, None) == ()
    setup.layers[0].weight.values = np.full((2, DEPTH), 0.5, np.float32)
    assert find_outliers(setup, None) == ()


def test_the_worst_comes_first(setup: QuantizerSetup) -> None:
    weight = np.ones((2, DEPTH), np.float32)
    weight[1, 5] = 9.0
    setup.layers[0].weight.values = weight
    values = np.linspace(-1, 1, 20_000, dtype=np.float32)
    values[7] = 50.0
    assert [found.tensor for found in find_outliers(setup, stats(values))] == ["x", "w"]
