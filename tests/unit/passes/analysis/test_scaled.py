"""Attribution between two measurements, by hand and on a network."""

from __future__ import annotations

import numpy as np
import pytest

from passes.analysis.output_kl import OutputKl
from passes.analysis.scaled import ScaledAttribution, _scaled
from passes.api import PassContext
from passes.execution.collect import HISTOGRAMS, PATCHES
from passes.execution.dataset import Dataset, graph_inputs
from passes.execution.sources import ArraySource
from passes.ir.model import Model

SAMPLES = 32


def test_the_share_that_arrives_is_interpolated_by_its_logarithm() -> None:
    shape = {2: 8.0, 3: 4.0, 4: 2.0, 5: 1.0, 8: 0.5}
    # A quarter arrives at 3 bits and below, all at 5 and above, and at 4 the geometric mean of both.
    found = _scaled(shape, shape, {3: 1.0, 5: 1.0})
    assert found == pytest.approx({2: 2.0, 3: 1.0, 4: 1.0, 5: 1.0, 8: 0.5})


def test_a_width_without_error_says_nothing_about_shares() -> None:
    exact_at_five = {2: 8.0, 3: 4.0, 5: 0.0}
    assert _scaled(exact_at_five, exact_at_five, {3: 1.0, 5: 0.0}) == pytest.approx({2: 2.0, 3: 1.0, 5: 0.0})
    exact = {3: 0.0, 5: 0.0}
    assert _scaled(exact, exact, {3: 0.0, 5: 0.0}) == exact


def test_what_does_not_arrive_leaves_finite_losses() -> None:
    found = _scaled({2: 8.0, 4: 2.0, 5: 1.0}, {3: 4.0, 5: 1.0}, {3: 1.0, 5: 0.0})
    assert all(np.isfinite(loss) and loss >= 0 for loss in found.values())


def test_at_the_measured_widths_losses_are_those_measured(
    model: Model, ctx: PassContext, rng: np.random.Generator
) -> None:
    x = rng.standard_normal((SAMPLES, 2)).astype(np.float32)
    source = ArraySource(("x",), SAMPLES, None, {"x": x})
    ctx.calibration = Dataset(source, graph_inputs(model.graph), ("x",), None, SAMPLES, "test")
    ctx.observes, ctx.workers = frozenset({HISTOGRAMS, PATCHES}), 1
    found = ctx.get(ScaledAttribution(samples=SAMPLES), model)
    measured = ctx.get(OutputKl((3, 5), SAMPLES), model)
    for name, losses in measured.weights.items():
        assert {bits: found.weights[name][bits] for bits in losses} == pytest.approx(dict(losses))
