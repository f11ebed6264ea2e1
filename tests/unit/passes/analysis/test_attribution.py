"""Sensitivities: fewer bits hurt more, and both estimates see the same order."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest

from passes.analysis.attribution import Attribution
from passes.analysis.output_sqnr import OutputSqnr
from passes.analysis.sensitivity import SensitivityTable
from passes.api import PassContext
from passes.execution.collect import HISTOGRAMS, PATCHES
from passes.execution.dataset import Dataset, graph_inputs
from passes.execution.sources import ArraySource
from passes.ir.model import Model

SAMPLES = 64
Measure = Callable[[type], SensitivityTable]


@pytest.fixture
def measure(model: Model, ctx: PassContext, rng: np.random.Generator) -> Measure:
    """Run one of the estimates at 2, 4, 6 and 8 bits, always on the same samples."""
    x = rng.standard_normal((SAMPLES, 2)).astype(np.float32)
    source = ArraySource(("x",), SAMPLES, None, {"x": x})
    ctx.calibration = Dataset(source, graph_inputs(model.graph), ("x",), None, SAMPLES, "test")
    ctx.observes, ctx.workers = frozenset({HISTOGRAMS, PATCHES}), 1
    return lambda kind: ctx.get(kind(bits=(2, 4, 6, 8)), model)


@pytest.mark.parametrize("kind", [Attribution, OutputSqnr])
def test_fewer_bits_lose_more(kind: type, measure: Measure) -> None:
    table = measure(kind)
    losses = [table.weights["first"], table.acts["first"], table.acts["second"]]
    for by_bits in losses:
        assert all(by_bits[low] > by_bits[high] >= 0 for low, high in pairwise((2, 4, 6, 8)))


@pytest.mark.parametrize("kind", [Attribution, OutputSqnr])
def test_two_more_bits_are_worth_twelve_decibels(kind: type, measure: Measure) -> None:
    by_bits = measure(kind).acts["first"]
    assert 8 < by_bits[4] / by_bits[6] < 32


def test_weights_that_need_no_rounding_lose_nothing(measure: Measure) -> None:
    # w2 is the unit matrix, which every number of bits can hold.
    table = measure(OutputSqnr)
    assert table.weights["second"][8] == pytest.approx(0, abs=1e-3)


def test_losses_of_weights_and_activations_add_up() -> None:
    table = SensitivityTable("by hand", {"a": {4: 0.5}}, {"a": {8: 0.25}, "b": {8: 0.125}})
    assert table.loss("a", 4, 8) == 0.75
    assert table.loss("b", 4, 8) == 0.125
    assert table.to_json() == {
        "metric": "by hand",
        "weights": {"a": {"4": 0.5}},
        "acts": {"a": {"8": 0.25}, "b": {"8": 0.125}},
    }
