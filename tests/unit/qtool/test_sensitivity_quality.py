"""Judging sensitivities on random plans of a model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hwmodels import load_target
from passes.analysis.names import SENSITIVITIES, installed_sensitivities
from passes.api import PassContext
from passes.errors import UsageError
from passes.execution.collect import HISTOGRAMS, PATCHES
from passes.execution.dataset import graph_inputs, open_dataset
from passes.ir.model import Model
from passes.ir.onnx_io import read_model
from qtool.analysis import AnalyzeRequest, run_analyze
from qtool.quantization import run_quantize
from qtool.report.sensitivity import sensitivity_line
from qtool.request import QuantizeRequest
from qtool.sensitivity_quality import interval, sensitivity_quality


@pytest.fixture
def prepared(quickstart: Path) -> tuple[Model, PassContext]:
    """The sample network with its calibration data."""
    model = read_model(quickstart / "digits.onnx")
    ctx = PassContext(load_target("bitfusion"), workers=1, observes=frozenset({HISTOGRAMS, PATCHES}))
    ctx.calibration = open_dataset(str(quickstart / "digits_calib.npz"), graph_inputs(model.graph), None, 64)
    return model, ctx


def test_all_sensitivities_are_judged_on_the_same_plans(prepared: tuple[Model, PassContext]) -> None:
    model, ctx = prepared
    before = model.plan
    found = sensitivity_quality(("scaled", "size-only"), 24, model, ctx)
    assert [entry.name for entry in found] == ["scaled", "size-only"]
    assert all(entry.plans == 24 and entry.samples == 32 for entry in found)
    scaled, control = found
    assert scaled.spearman > 0.8
    assert scaled.low < scaled.spearman < scaled.high
    assert scaled.spearman > control.spearman
    assert model.plan is before
    assert sensitivity_quality(("scaled",), 24, model, ctx) == found[:1]


def test_plans_that_cannot_be_lowered_judge_nothing(prepared: tuple[Model, PassContext]) -> None:
    model, ctx = prepared
    narrow = replace(ctx.target.arithmetic, accumulator_bits=6, wide_accumulator_bits=6)
    ctx.target = replace(ctx.target, arithmetic=narrow)
    assert sensitivity_quality(("attribution",), 4, model, ctx) == ()


@pytest.mark.parametrize(
    ("count", "low", "high"), [(3, -1.0, 1.0), (4, -0.8189, 0.9975), (200, 0.7344, 0.8508)]
)
def test_interval_of_a_correlation(count: int, low: float, high: float) -> None:
    # atanh(0.8) = 1.0986; the spread is 1.96 * sqrt(1.32 / (count - 3)).
    np.testing.assert_allclose(interval(0.8, count), (low, high), atol=2e-3)


def test_report_says_how_far_the_sensitivity_is_to_be_trusted(quickstart: Path, tmp_path: Path) -> None:
    request = QuantizeRequest(
        model=quickstart / "digits.onnx",
        out=tmp_path / "out",
        target="bitfusion",
        calib=str(quickstart / "digits_calib.npz"),
        samples=64,
        bits=(4, 8),
        quality_plans=8,
        max_drop=None,
        pipeline="canonicalize,fold-batchnorm,allocate{max-size=0.75x},assign-scales",
        workers=1,
    )
    report = run_quantize(request, lambda stage, done, total: None)
    assert report.sensitivity_quality is not None
    assert report.sensitivity_quality.plans == 8
    assert sensitivity_line(report.sensitivity_quality) in (tmp_path / "out" / "report.md").read_text()
    again = run_quantize(replace(request, quality_plans=0, force=True), lambda stage, done, total: None)
    assert again.sensitivity_quality is None


def test_analyze_compares_what_is_installed(quickstart: Path) -> None:
    def analyzed(plans: int, *, compare: bool) -> dict:
        request = AnalyzeRequest(
            model=quickstart / "digits.onnx",
            calib=str(quickstart / "digits_calib.npz"),
            target="bitfusion",
            samples=32,
            sensitivity="attribution",
            quality_plans=plans,
            compare=compare,
        )
        return run_analyze(request, lambda stage, done, total: None)

    assert "quality" not in analyzed(0, compare=False)
    names = [entry["name"] for entry in analyzed(3, compare=True)["quality"]]
    assert names == list(installed_sensitivities())
    assert set(names) <= set(SENSITIVITIES)
    assert {"attribution", "scaled", "ompq"} <= set(names)
    with pytest.raises(UsageError, match="to compare 2 and more"):
        analyzed(0, compare=True)
