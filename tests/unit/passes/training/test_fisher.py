"""Sensitivity by gradients, against noise that is measured."""

from __future__ import annotations

import numpy as np
import pytest

from hwmodels.registry import load_target
from passes.analysis.output_sqnr import OutputSqnr
from passes.api import PassContext
from passes.execution.collect import HISTOGRAMS
from passes.execution.dataset import Dataset, InputSpec
from passes.execution.sources import ArraySource
from passes.ir.model import Model
from passes.ir.onnx_io import model_from_text

pytest.importorskip("torch", reason="needs the extra train")
from passes.training.fisher import Fisher

SAMPLES = 64


def context(shape: tuple[int, ...]) -> PassContext:
    data = np.random.default_rng(0).standard_normal((SAMPLES, *shape)).astype(np.float32)
    inputs = (InputSpec("x", (None, *shape), np.dtype(np.float32)),)
    dataset = Dataset(ArraySource(("x",), SAMPLES, None, {"x": data}), inputs, ("x",), None, SAMPLES, "test")
    return PassContext(
        load_target("generic"), calibration=dataset, workers=1, observes=frozenset({HISTOGRAMS})
    )


def test_the_noise_of_one_product_is_predicted_exactly() -> None:
    model = model_from_text("""<ir_version: 8, opset_import: ["" : 13]> g (float[N,1] x) => (float[N,1] y)
        <float[1,1] w = {0.71}, float[1] b = {2}> { [only] y = Gemm(x, w, b) }""")
    predicted = Fisher((2, 4), SAMPLES, batch=1).run(model, context((1,)))
    measured = OutputSqnr((2, 4), SAMPLES).run(model, context((1,)))
    for bits in (2, 4):
        assert predicted.weights["only"][bits] == pytest.approx(measured.weights["only"][bits], rel=1e-3)
        assert predicted.acts["only"][bits] == pytest.approx(measured.acts["only"][bits], rel=1e-3)
        assert predicted.acts["only"][bits] > 0


def test_losses_rank_layers_and_widths_as_measurements_do(residual: Model) -> None:
    ctx = context((2, 5, 5))
    predicted, measured = (
        analysis.run(residual, ctx)
        for analysis in (Fisher((3, 4, 6), SAMPLES), OutputSqnr((3, 4, 6), SAMPLES))
    )
    for by_layer, truth in ((predicted.weights, measured.weights), (predicted.acts, measured.acts)):
        guesses = np.array([[by_layer[name][bits] for bits in (3, 4, 6)] for name in truth])
        losses = np.array([[truth[name][bits] for bits in (3, 4, 6)] for name in truth])
        assert (np.diff(guesses, axis=1) < 0).all()
        assert np.corrcoef(np.log(guesses.ravel()), np.log(losses.ravel()))[0, 1] > 0.8


def test_the_same_seed_gives_the_same_table(residual: Model) -> None:
    tables = [Fisher((4,), 16).run(residual, context((2, 5, 5))).to_json() for _ in range(2)]
    assert tables[0] == tables[1]
    assert tables[0]["metric"] == "fisher"
