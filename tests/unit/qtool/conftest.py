"""A report made by hand."""

from __future__ import annotations

from typing import Any

import pytest

from qtool.report import DistributionReport, FrontPoint, FrontReport, SensitivityReport, StepReport
from qtool.report.report import (
    AgreementReport,
    BudgetReport,
    CostReport,
    CoverageReport,
    JournalLine,
    LayerReport,
    MetricReport,
    ModelReport,
    Report,
    TimeReport,
    UnquantizedReport,
)

HOSTILE = '</script><img src=x onerror="alert(1)">\'`${1}\u2028 <b>conv</b>'
"""A name that would be markup, or the end of a script, if it were written as it is."""


def make_report(**changes: Any) -> Report:
    """The report of a network with a quantized convolution and a Gemm that stays float."""
    fields: dict[str, Any] = {
        "qtool": "0.1.0",
        "model": ModelReport("models/net.onnx", "ab" * 32),
        "target": "bitfusion",
        "solver": "ilp",
        "seed": 0,
        "metric": MetricReport("top1", 450, 0.99, 0.98, 0.975),
        "cost": CostReport(latency_s=0.5e-3, weight_bytes=1000.0, bops=2e6),
        "cost_8bit": CostReport(latency_s=1e-3, weight_bytes=2000.0, bops=8e6),
        "budgets": (BudgetReport("latency_s", 0.5e-3, 0.5e-3, met=True),),
        "layers": (
            LayerReport("conv|1", "Conv", 4, 8, 0.25, 0.5e-3, None, 1000.0, 2e6),
            LayerReport("fc", "Gemm", quantized=False, reason="its bias is computed at run time"),
        ),
        "coverage": CoverageReport(0.9, 0.8),
        "agreement": AgreementReport(1.0, 0.998, 0.96),
        "time_s": TimeReport(12.3, calibrate=4.0),
        "peak_rss_bytes": 412_000_000,
        "pipeline": "canonicalize,lower",
        "versions": {"onnx": "1.23.2"},
        "unquantized": (UnquantizedReport("softmax", "Softmax", "Softmax has no integer form"),),
        "journal": (JournalLine("equalize", "conv|1", "no partner"),),
    }
    return Report(**fields | changes)


@pytest.fixture
def report() -> Report:
    """The report of `make_report`."""
    return make_report()


@pytest.fixture
def full_report() -> Report:
    """A report with every part, a layer of which is called after an attack."""
    wide, narrow = (4, 8), (2, 8)
    points = (
        FrontPoint("this plan", "plan", 0.25, 0.25, 0.5e-3, (4,), (8,)),
        FrontPoint("w2a8", "uniform", 0.75, None, 0.2e-3, (2,), (8,)),
        FrontPoint("optimum 1", "optimal", 0.75, 0.75, 0.2e-3, (2,), (8,)),
        FrontPoint("optimum 2", "optimal", 0.25, 0.25, 0.5e-3, (4,), (8,)),
    )
    layer = LayerReport(
        HOSTILE,
        "Conv",
        *wide,
        0.25,
        0.5e-3,
        2e-6,
        1000.0,
        2e6,
        True,
        "integer",
        None,
        1e-3,
        4e-6,
        1e6,
        4e-4,
        5e-4,
        2e3,
        0.5e-6,
        1e-6,
    )
    spread = DistributionReport(
        HOSTILE, "w", "weight", narrow[0], -1.0, 0.5, (1, 5, 5, 2), -1, 0.5, -0.5, 0.25
    )
    return make_report(
        layers=(layer, LayerReport("fc", "Gemm", quantized=False, reason="its bias is computed at run time")),
        front=FrontReport("latency_s", (HOSTILE,), points),
        steps=(
            StepReport("conv", "conv", 0.0, 1.0, 0.0, 0.0, 0.0, 96),
            StepReport("fc", "gemm", 2.0, 0.5, 0.25, 0.25, 0.0, 4),
        ),
        distributions=(spread,),
        sensitivity_quality=SensitivityReport(
            "scaled", 3, 32, 0.5, -0.9, 0.99, 0.3, (0.1, 0.2, 0.4), (1.0, 3.0, 2.0)
        ),
    )
