"""A report made by hand."""

from __future__ import annotations

from typing import Any

import pytest

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
