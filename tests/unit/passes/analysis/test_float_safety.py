"""Layers in floating point of few bits: what underflows and what overflows is found, format by format."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

from hwmodels.registry import load_target
from passes.analysis.float_safety import FloatSafetyTable
from passes.api import PassContext
from passes.execution.dataset import Dataset, InputSpec
from passes.execution.sources import ArraySource
from passes.ir.model import Model
from passes.ir.onnx_io import model_from_text
from passes.numerics.float_formats import BF16, E4M3, E5M2, FP16, FloatFormat, least_scale, underflow_share


def test_formats_have_their_limits() -> None:
    half = np.finfo(np.float16)
    assert FP16.least == float(half.smallest_subnormal)
    assert FP16.largest == float(half.max)
    assert [form.least < FP16.least for form in (BF16, E4M3, E5M2)] == [True, False, False]


@pytest.mark.parametrize("form", [FP16, E4M3])
def test_the_share_is_that_of_a_normal_distribution(form: FloatFormat) -> None:
    sigma = 5 * form.least
    assert underflow_share(sigma, form) == pytest.approx(2 * norm.cdf(0.1) - 1)
    assert underflow_share(0.0, form) == 0.0


def test_the_least_scale_leaves_the_share_that_was_asked_for() -> None:
    sigma = FP16.least
    scale = least_scale(sigma, 1e-3, FP16)
    assert underflow_share(sigma * scale, FP16) == pytest.approx(1e-3)
    assert least_scale(1.0, 1e-3, FP16) == 1.0


def model_of(small: float, large: float) -> Model:
    return model_from_text(f"""<ir_version: 8, opset_import: ["" : 13]>
        net (float[N,2] x) => (float[N,2] z)
        <float[2,2] w = {{{small}, {small}, -{small}, {small}}},
         float[2,2] v = {{{large}, 1, 1, {large}}}>
        {{ [first] y = MatMul(x, w) [second] z = MatMul(y, v) }}""")


def context() -> PassContext:
    data = np.random.default_rng(0).uniform(-1, 1, (16, 2)).astype(np.float32)
    inputs = (InputSpec("x", (None, 2), np.dtype(np.float32)),)
    dataset = Dataset(ArraySource(("x",), 16, None, {"x": data}), inputs, ("x",), None, 16, "test")
    return PassContext(load_target("generic"), calibration=dataset, workers=1)


def test_a_layer_behind_an_operator_that_only_moves_is_judged() -> None:
    model = model_from_text("""<ir_version: 8, opset_import: ["" : 13]>
        net (float[N,2] x) => (float[N,2] z)
        <float[2,2] w = {1, 2, 3, 4}, float[2,2] v = {1, 1, 1, 1}>
        { [first] y = MatMul(x, w) [turn] t = Flatten(y) [second] z = MatMul(t, v) }""")
    assert [it.layer for it in FloatSafetyTable().run(model, context())] == ["first"] * 4 + ["second"] * 4


def test_layers_that_underflow_or_overflow_are_told_apart() -> None:
    found = {(it.layer, it.form): it for it in FloatSafetyTable().run(model_of(1e-8, 1e5), context())}
    assert found["first", "fp16"].underflow > 0.9
    assert not found["first", "fp16"].safe
    assert found["first", "fp16"].headroom > 1
    assert found["second", "fp16"].headroom < 1
    assert found["first", "bf16"].safe
    assert found["second", "bf16"].safe


def test_ordinary_layers_are_safe_in_fp16_and_not_in_fp8() -> None:
    found = {(it.layer, it.form): it for it in FloatSafetyTable().run(model_of(0.01, 2.0), context())}
    assert all(it.safe for (_, form), it in found.items() if form in ("fp16", "bf16"))
    assert not found["first", "e4m3"].safe
    assert found["first", "e4m3"].to_json()["format"] == "e4m3"
