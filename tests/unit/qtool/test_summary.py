"""Reports of compilations: what is counted, and what is said to be missing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import parser

from hwmodels import Metric
from passes.allocation.quantities import parse_budget
from qtool.quantization import run_quantize
from qtool.report import Report
from qtool.request import QuantizeRequest

NETWORK = """
<ir_version: 8, opset_import: ["" : 13]>
net (float[N,2] x) => (float[N,2] y)
<float[2,2] w1 = {1.0, 2.0, 3.0, 4.0}, float[2,2] w2 = {1.0, 0.5, -0.5, 1.0},
 float[1,2,2] stack = {1.0, 0.5, -0.5, 1.0}, int64[1] zero = {0}>
{
    [first] h = MatMul(x, w1)
    [second] g = MatMul(h, w2)
    MIDDLE
    [last] y = MatMul(e, w1)
}
"""
SAMPLES = 8
Compile = Callable[..., Report]


@pytest.fixture
def compiled(tmp_path: Path, rng: np.random.Generator) -> Compile:
    """Compile three products with an operator before the last."""

    def run(middle: str = "[relu] e = Relu(g)", **options: Any) -> Report:
        onnx.save(parser.parse_model(NETWORK.replace("MIDDLE", middle)), tmp_path / "net.onnx")
        x = rng.standard_normal((SAMPLES, 2)).astype(np.float32)
        np.savez(tmp_path / "data.npz", x=x)
        fixed = {
            "model": tmp_path / "net.onnx",
            "out": tmp_path / "out",
            "target": "bitfusion",
            "calib": str(tmp_path / "data.npz"),
            "workers": 1,
        }
        return run_quantize(QuantizeRequest(**fixed | options), lambda stage, done, total: None)

    return run


def test_costs_of_layers_add_up(compiled: Compile) -> None:
    report = compiled()
    assert [layer.name for layer in report.layers] == ["first", "second", "last"]
    assert sum(layer.bops for layer in report.layers) == report.cost.bops == 3 * 4 * 64
    assert report.cost == report.cost_8bit
    assert report.solver == "uniform"


def test_without_held_out_data_nothing_is_measured_but_agreement(compiled: Compile) -> None:
    report = compiled()
    assert report.metric is None
    assert report.agreement is not None
    assert (report.agreement.qdq_vs_packed_max_lsb, report.agreement.top1_agreement) == (0, None)


def test_held_out_data_without_labels_are_scored_by_agreement(compiled: Compile, tmp_path: Path) -> None:
    report = compiled(eval=str(tmp_path / "data.npz"))
    assert report.metric is not None
    assert (report.metric.name, report.metric.samples, report.metric.float) == ("agreement", SAMPLES, 1.0)


def test_budgets_are_reported_in_units_of_the_metric(compiled: Compile) -> None:
    report = compiled(budgets=(parse_budget(Metric.WEIGHT_BYTES, "9B"),))
    (budget,) = report.budgets
    assert (budget.metric, budget.limit, budget.met) == ("weight_bytes", 9.0, True)
    assert budget.used == report.cost.weight_bytes <= 9


def test_operators_in_floating_point_are_named_with_the_reason(compiled: Compile, tmp_path: Path) -> None:
    report = compiled("[float] e = Erf(g)")
    assert [(entry.name, entry.op) for entry in report.unquantized] == [("float", "Erf")]
    assert any(line.subject == "packed" and "float" in line.message for line in report.journal)
    assert not (tmp_path / "out" / "model.qpk").exists()
    assert report.coverage.macs == 1.0


def test_a_layer_that_stays_float_lowers_the_coverage(compiled: Compile) -> None:
    report = compiled("[stacked] s = MatMul(g, stack) [back] e = Squeeze(s, zero)")
    left = [layer for layer in report.layers if not layer.quantized]
    assert [(layer.name, layer.weight_bits) for layer in left] == [("stacked", None)]
    assert "constant of rank 3" in str(left[0].reason)
    assert report.coverage.weight_bytes == pytest.approx(12 / 16)
